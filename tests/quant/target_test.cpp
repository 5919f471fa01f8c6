#include "quant/target.h"

#include <cmath>
#include <doctest/doctest.h>

#include "quant/gptq.h"
#include "tests/quant/calibration_samples.h"

namespace mica {
namespace {

constexpr int64_t kRows = 5, kCols = 300;  // more than two blocks of columns, the last one short

std::vector<float> regular_hessian(int64_t size, unsigned seed) {
  return correlated_inputs(size, 400, seed).mean({.shrinkage = 0.1, .damping = 0.01}, "test");
}

TEST_CASE("solved rows times the Hessian are the rows") {
  std::vector<float> hessian = regular_hessian(kCols, 1);
  const Feedback feedback = make_feedback({hessian.data(), kCols, kCols}, 0.01, kPlainMath);
  const auto wanted = gaussians(kRows * kCols, 2);
  std::vector<float> rows(wanted.size());
  plain_multiply({wanted.data(), kRows, kCols}, {hessian.data(), kCols, kCols}, kCols, rows.data(),
                 kCols);
  solve_rows({rows.data(), kRows, kCols}, feedback, kPlainMath);
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i] == doctest::Approx(wanted[i]).epsilon(2e-3).scale(1));
  }
}

// Inputs here [K, samples], and there: a mixture of them, so that targets are known.
struct Drifted {
  std::vector<float> here, there, mix;  // mix: [K, K], there = mix here

  Drifted(int64_t size, int64_t samples)
      : here(gaussians(size * samples, 3)), there(here.size()), mix(gaussians(size * size, 4)) {
    for (int64_t k = 0; k < size; ++k) {
      for (int64_t t = 0; t < samples; ++t) here[k * samples + t] *= 1 + 0.1f * (k % 9);
    }
    for (float& m : mix) m *= 0.01f;
    for (int64_t k = 0; k < size; ++k) mix[k * size + k] += 1;
    for (int64_t k = 0; k < size; ++k) {
      for (int64_t t = 0; t < samples; ++t) {
        double sum = 0;
        for (int64_t j = 0; j < size; ++j) {
          sum += double{mix[k * size + j]} * double{here[j * samples + t]};
        }
        there[k * samples + t] = static_cast<float>(sum);
      }
    }
  }

  std::vector<float> hessian(int64_t size, int64_t samples) const {
    HessianSum sum(size);
    for (int64_t tile = 0; tile < sum.tiles(); ++tile)
      sum.add_tile(tile, {here.data(), size, samples}, samples, kPlainMath);
    return sum.mean({.shrinkage = 0, .damping = 0}, "test");
  }

  std::vector<float> drift(int64_t size, int64_t samples) const {
    std::vector<float> difference(here.size());
    for (size_t i = 0; i < here.size(); ++i) difference[i] = there[i] - here[i];
    CrossSum sum(size, size);
    for (int64_t tile = 0; tile < sum.tiles(); ++tile)
      sum.add_tile(tile, {here.data(), size, samples}, {difference.data(), size, samples}, samples,
                   kPlainMath);
    return std::move(sum).mean(0);
  }
};

TEST_CASE("targets give the outputs that the weights have with the inputs of the other model") {
  constexpr int64_t kSize = 140, kSamples = 300;
  const Drifted inputs(kSize, kSamples);
  std::vector<float> hessian = inputs.hessian(kSize, kSamples);
  const std::vector<float> drift = inputs.drift(kSize, kSamples);
  const Feedback solver = make_feedback({hessian.data(), kSize, kSize}, 0, kPlainMath);
  const auto weights = gaussians(kRows * kSize, 5);
  for (const double share : {0.0, 0.5, 1.0}) {
    auto rows = weights;
    aim({rows.data(), kRows, kSize}, {.drift = {drift.data(), kSize, kSize}, .share = share},
        solver, kPlainMath);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t k = 0; k < kSize; ++k) {
        double mixed = 0;  // W mix
        for (int64_t j = 0; j < kSize; ++j) {
          mixed += double{weights[r * kSize + j]} * double{inputs.mix[j * kSize + k]};
        }
        const double expected = (1 - share) * double{weights[r * kSize + k]} + share * mixed;
        CHECK(rows[r * kSize + k] == doctest::Approx(expected).epsilon(1e-3).scale(1));
      }
    }
  }
}

TEST_CASE("rows quantized towards targets come nearer to the outputs of the other model") {
  constexpr int64_t kSize = 128, kSamples = 400;
  const Drifted inputs(kSize, kSamples);
  std::vector<float> hessian = inputs.hessian(kSize, kSamples);
  const std::vector<float> drift = inputs.drift(kSize, kSamples);
  const Feedback feedback = make_feedback({hessian.data(), kSize, kSize}, 0, kPlainMath);
  const auto weights = gaussians(kRows * kSize, 6);
  auto targets = weights;
  aim({targets.data(), kRows, kSize}, {.drift = {drift.data(), kSize, kSize}}, feedback,
      kPlainMath);
  const auto error_of = [&](const std::vector<float>& towards) {
    CodedRows coded = make_coded_rows(weight_type("q4"), 32, kRows, kSize);
    const RowsInWork work{.weights = {towards.data(), kRows, kSize}, .coded = &coded, .first = 0};
    code_nearest(work, feedback.importance.data());
    gptq(work, feedback, kPlainMath);
    std::vector<float> decoded(kSize);
    double error = 0;
    for (int64_t r = 0; r < kRows; ++r) {
      decode_row(coded, r, decoded.data());
      for (int64_t t = 0; t < kSamples; ++t) {
        double difference = 0;
        for (int64_t k = 0; k < kSize; ++k) {
          difference += double{weights[r * kSize + k]} * double{inputs.there[k * kSamples + t]} -
                        double{decoded[k]} * double{inputs.here[k * kSamples + t]};
        }
        error += difference * difference;
      }
    }
    return error;
  };
  CHECK(error_of(targets) < 0.7 * error_of(weights));
}

TEST_CASE("drift that asks for other rows altogether, or for none that are finite, is not heeded") {
  std::vector<float> hessian = regular_hessian(64, 7);
  const Feedback solver = make_feedback({hessian.data(), 64, 64}, 0.01, kPlainMath);
  const auto weights = gaussians(2 * 64, 8);
  for (const float size : {1e6f, std::nanf("")}) {
    std::vector<float> drift = gaussians(64 * 64, 9);
    for (float& d : drift) d *= size;
    auto rows = weights;
    aim({rows.data(), 2, 64}, {.drift = {drift.data(), 64, 64}}, solver, kPlainMath);
    CHECK(rows == weights);
  }
}

TEST_CASE("the sum of blocks is the mean of all products, the same for every tile") {
  constexpr int64_t kA = 270, kB = 40, kSamples = 30;  // tiles of 256
  const auto a = gaussians(kA * kSamples, 10), b = gaussians(kB * kSamples, 11);
  CrossSum sum(kA, kB);
  CHECK(sum.tiles() == 2);
  for (const int64_t begin : {0, 20}) {
    const int64_t count = begin == 0 ? 20 : 10;
    for (int64_t tile = sum.tiles(); tile-- > 0;)
      sum.add_tile(tile, {a.data() + begin, kA, kSamples}, {b.data() + begin, kB, kSamples}, count,
                   kPlainMath);
  }
  const std::vector<float> mean = std::move(sum).mean(0.25);
  for (int64_t i = 0; i < kA; ++i) {
    for (int64_t j = 0; j < kB; ++j) {
      double expected = 0;
      for (int64_t t = 0; t < kSamples; ++t)
        expected += double{a[i * kSamples + t]} * double{b[j * kSamples + t]} / kSamples;
      if (i != j) expected *= 0.75;
      CHECK(mean[i * kB + j] == doctest::Approx(expected).epsilon(1e-4).scale(1));
    }
  }
}

}  // namespace
}  // namespace mica
