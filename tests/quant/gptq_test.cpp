#include "quant/gptq.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

#include "lib/base/error.h"
#include "quant/descent.h"
#include "tests/quant/calibration_samples.h"

namespace mica {
namespace {

constexpr int64_t kRows = 6, kCols = 192;  // more than one block of columns

RowsInWork work_on(CodedRows& coded, const std::vector<float>& weights) {
  return {.weights = {weights.data(), coded.rows, coded.cols}, .coded = &coded, .first = 0};
}

Feedback feedback_of(std::vector<float>& hessian, int64_t size) {
  return make_feedback({hessian.data(), size, size}, 0.01, kPlainMath);
}

// Inverse of a symmetric positive definite matrix, in place.
void invert(std::vector<double>& a, int64_t n) {
  for (int64_t p = 0; p < n; ++p) {
    const double pivot = 1 / a[p * n + p];
    for (int64_t j = 0; j < n; ++j) a[p * n + j] *= pivot;
    a[p * n + p] = pivot;
    for (int64_t i = 0; i < n; ++i) {
      if (i == p) continue;
      const double factor = a[i * n + p];
      a[i * n + p] = 0;
      for (int64_t j = 0; j < n; ++j) a[i * n + j] -= factor * a[p * n + j];
    }
  }
}

// The textbook: quantize a column, spread its error over the columns left by the inverse Hessian,
// take the column out of the inverse (arXiv:2208.11580, "OBQ", in a fixed order).
std::vector<uint8_t> textbook(const std::vector<float>& weights, const CodedRows& coded,
                              const std::vector<float>& hessian,
                              const std::vector<int32_t>& order) {
  const int64_t n = coded.cols;
  std::vector<double> inverse(hessian.begin(), hessian.end());
  invert(inverse, n);
  std::vector<double> w(weights.begin(), weights.end());
  std::vector<uint8_t> codes(coded.codes.size());
  for (const int64_t q : order) {
    const double pivot = inverse[q * n + q];
    for (int64_t row = 0; row < coded.rows; ++row) {
      const GroupGrid grid =
          coded.type->grid(coded.constants[row * coded.groups() + q / coded.group]);
      const double wanted = std::nearbyint((w[row * n + q] - grid.base) / grid.step);
      const double code = std::clamp(wanted, static_cast<double>(coded.type->low_code),
                                     static_cast<double>(coded.type->high_code));
      codes[row * n + q] = static_cast<uint8_t>(code);
      const double error = (w[row * n + q] - (grid.step * code + grid.base)) / pivot;
      for (int64_t j = 0; j < n; ++j) w[row * n + j] -= error * inverse[q * n + j];
    }
    std::vector<double> line(static_cast<size_t>(n));
    for (int64_t j = 0; j < n; ++j) line[j] = inverse[q * n + j];
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) inverse[i * n + j] -= line[i] * line[j] / pivot;
    }
    // Later updates must leave what is done alone.
    for (int64_t j = 0; j < n; ++j) inverse[q * n + j] = inverse[j * n + q] = 0;
  }
  return codes;
}

TEST_CASE("GPTQ chooses the codes that the textbook's inverse Hessian does") {
  std::vector<float> hessian =
      correlated_inputs(kCols, 400, 1).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const Feedback feedback = feedback_of(hessian, kCols);
  const auto weights = gaussians(kRows * kCols, 2);
  for (const char* name : {"q4", "q4s", "q4m"}) {
    CodedRows coded = make_coded_rows(weight_type(name), 32, kRows, kCols);
    const RowsInWork work = work_on(coded, weights);
    code_nearest(work, nullptr);
    const std::vector<uint8_t> expected = textbook(weights, coded, hessian, feedback.order);
    gptq(work, feedback, kPlainMath);
    // Float sums may turn a tie, after which the row goes on differently: none of these does.
    CHECK(coded.codes == expected);
  }
}

TEST_CASE("with inputs that do not depend on each other GPTQ rounds to nearest") {
  std::vector<float> hessian(kCols * kCols);
  for (int64_t i = 0; i < kCols; ++i) hessian[i * kCols + i] = 1 + static_cast<float>(i % 5);
  const Feedback feedback = feedback_of(hessian, kCols);
  const auto weights = gaussians(kRows * kCols, 4);
  CodedRows coded = make_coded_rows(weight_type("q4"), 64, kRows, kCols);
  const RowsInWork work = work_on(coded, weights);
  code_nearest(work, nullptr);
  const auto nearest = coded.codes;
  gptq(work, feedback, kPlainMath);
  CHECK(coded.codes == nearest);
}

TEST_CASE("each step of the stack lowers the error of the output") {
  std::vector<float> hessian =
      correlated_inputs(kCols, 400, 7).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const Feedback feedback = feedback_of(hessian, kCols);
  std::vector<float> diagonal;
  for (int64_t i = 0; i < kCols; ++i) diagonal.push_back(hessian[i * kCols + i]);
  const auto weights = gaussians(kRows * kCols, 8);
  for (const WeightType* type : weight_types()) {
    const std::string_view name = type->prefix;
    CAPTURE(name);
    CodedRows coded = make_coded_rows(*type, 32, kRows, kCols);
    const RowsInWork work = work_on(coded, weights);
    code_plain(work);
    const double plain = output_error(weights, coded, hessian);
    code_nearest(work, diagonal.data());
    const double searched = output_error(weights, coded, hessian);
    gptq(work, feedback, kPlainMath);
    const double fed_back = output_error(weights, coded, hessian);
    const DescentErrors descended = descend(work, {hessian.data(), kCols, kCols}, 2, kPlainMath);
    const double end = output_error(weights, coded, hessian);
    CHECK(searched < plain);
    CHECK(fed_back < 0.8 * searched);
    CHECK(end < fed_back);
    CHECK(descended.before == doctest::Approx(fed_back).epsilon(1e-3));
    CHECK(descended.after == doctest::Approx(end).epsilon(1e-3));
  }
}

TEST_CASE("descent ends where no single code can be better") {
  std::vector<float> hessian =
      correlated_inputs(64, 200, 9).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const auto weights = gaussians(4 * 64, 10);
  CodedRows coded = make_coded_rows(weight_type("q4"), 32, 4, 64);
  const RowsInWork work = work_on(coded, weights);
  code_nearest(work, nullptr);
  descend(work, {hessian.data(), 64, 64}, 50, kPlainMath);
  const double end = output_error(weights, coded, hessian);
  for (size_t i = 0; i < coded.codes.size(); ++i) {
    for (const int change : {-1, 1}) {
      const int code = coded.codes[i] + change;
      if (code < 0 || code > 15) continue;
      CodedRows other = coded;
      other.codes[i] = static_cast<uint8_t>(code);
      CHECK(output_error(weights, other, hessian) >= end * (1 - 1e-5));
    }
  }
}

TEST_CASE("descent leaves what is exact alone") {
  std::vector<float> hessian =
      correlated_inputs(64, 200, 11).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const auto weights = gaussians(4 * 64, 12);
  CodedRows coded = make_coded_rows(weight_type("q4"), 32, 4, 64);
  code_nearest(work_on(coded, weights), nullptr);
  std::vector<float> exact(weights.size());
  for (int64_t row = 0; row < 4; ++row) decode_row(coded, row, &exact[row * 64]);
  const auto codes = coded.codes;
  const auto constants = coded.constants;
  descend(work_on(coded, exact), {hessian.data(), 64, 64}, 2, kPlainMath);
  CHECK(coded.codes == codes);
  CHECK(coded.constants == constants);
}

TEST_CASE("rows come out the same alone and with others") {
  std::vector<float> hessian =
      correlated_inputs(kCols, 400, 13).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const Feedback feedback = feedback_of(hessian, kCols);
  const auto weights = gaussians(kRows * kCols, 14);
  CodedRows coded = make_coded_rows(weight_type("q4"), 32, kRows, kCols);
  const auto run = [&](int64_t first, int64_t count) {
    const RowsInWork work{
        .weights = {&weights[first * kCols], count, kCols}, .coded = &coded, .first = first};
    code_nearest(work, feedback.importance.data());
    gptq(work, feedback, kPlainMath);
    descend(work, {hessian.data(), kCols, kCols}, 2, kPlainMath);
  };
  run(0, kRows);
  const CodedRows together = coded;
  for (int64_t row = 0; row < kRows; ++row) run(row, 1);
  CHECK(coded.codes == together.codes);
  CHECK(coded.constants == together.constants);
}

TEST_CASE("the feedback is the factorization of the Hessian in the order of its diagonal") {
  std::vector<float> hessian =
      correlated_inputs(64, 200, 15).mean({.shrinkage = 0, .damping = 0.01}, "test");
  const Feedback f = feedback_of(hessian, 64);
  for (int64_t i = 1; i < 64; ++i) {
    const int64_t a = f.order[i - 1], b = f.order[i];
    CHECK(hessian[a * 64 + a] >= hessian[b * 64 + b]);
  }
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t j = 0; j < 64; ++j) {
      double sum = 0;  // (I + F^T) D (I + F)
      for (int64_t k = 0; k < 64; ++k) {
        const double left = k == i ? 1 : i < k ? f.rows[k * 64 + i] : 0;
        const double right = k == j ? 1 : j < k ? f.rows[k * 64 + j] : 0;
        sum += left * f.importance[f.order[k]] * right;
      }
      CHECK(sum == doctest::Approx(hessian[f.order[i] * 64 + f.order[j]]).epsilon(1e-4));
    }
  }
}

TEST_CASE("a Hessian that cannot be factored is damped until it can, and refused if it never can") {
  // One direction only, and a diagonal just too small for it.
  std::vector<float> hessian(32 * 32, 1.0f);
  for (int64_t i = 0; i < 32; ++i) hessian[i * 32 + i] = 0.9f;
  const Feedback feedback = feedback_of(hessian, 32);
  CHECK(feedback.damping > 0.1);
  CHECK(hessian[0] > 1.0f);
  std::vector<float> negative(32 * 32, 0.0f);
  for (int64_t i = 0; i < 32; ++i) negative[i * 32 + i] = -1.0f;
  CHECK_THROWS_AS(feedback_of(negative, 32), Error);
}

TEST_CASE("inputs that never differ from 0 and texts of one token repeated can be used") {
  HessianSum sum(64);
  std::vector<float> inputs(64 * 8);
  for (int64_t k = 0; k < 64; ++k) {
    for (int64_t t = 0; t < 8; ++t) inputs[k * 8 + t] = k < 32 ? 0.01f * static_cast<float>(k) : 0;
  }
  for (int64_t tile = 0; tile < sum.tiles(); ++tile) {
    sum.add_tile(tile, {inputs.data(), 64, 8}, 8, kPlainMath);
  }
  std::vector<float> hessian = sum.mean({.shrinkage = 0, .damping = 0.01}, "test");
  const Feedback feedback = feedback_of(hessian, 64);
  const auto weights = gaussians(2 * 64, 16);
  CodedRows coded = make_coded_rows(weight_type("q4"), 32, 2, 64);
  const RowsInWork work = work_on(coded, weights);
  code_nearest(work, feedback.importance.data());
  gptq(work, feedback, kPlainMath);
  CHECK(std::isfinite(descend(work, {hessian.data(), 64, 64}, 2, kPlainMath).after));
  inputs[3] = std::nanf("");
  sum.add_tile(0, {inputs.data(), 64, 8}, 8, kPlainMath);
  CHECK_THROWS_AS(sum.mean({.shrinkage = 0, .damping = 0.01}, "test"), Error);
}

TEST_CASE("the sum of blocks is the mean of all inputs") {
  const auto inputs = gaussians(40 * 100, 17);  // two blocks: 60 and 40 samples
  HessianSum sum(40);
  sum.add_tile(0, {inputs.data(), 40, 100}, 60, kPlainMath);
  sum.add_tile(0, {inputs.data() + 60, 40, 100}, 40, kPlainMath);
  CHECK(sum.samples() == 100);
  const std::vector<float> mean = sum.mean({.shrinkage = 0, .damping = 0}, "test");
  for (int64_t i = 0; i < 40; ++i) {
    for (int64_t j = 0; j < 40; ++j) {
      double expected = 0;
      for (int64_t t = 0; t < 100; ++t) expected += inputs[i * 100 + t] * inputs[j * 100 + t] / 100;
      CHECK(mean[i * 40 + j] == doctest::Approx(expected).epsilon(1e-5).scale(1));
    }
  }
  double trace = 0;
  for (int64_t i = 0; i < 40; ++i) trace += mean[i * 41];
  const std::vector<float> regular = sum.mean({.shrinkage = 0.25, .damping = 0.5}, "test");
  CHECK(regular[7] == doctest::Approx(0.75 * mean[7]));
  CHECK(regular[41] == doctest::Approx(mean[41] + 0.5 * trace / 40));
}

TEST_CASE("packed rows decode to what the codes mean, padding to zeros") {
  const auto weights = gaussians(21 * 64, 18);
  for (const WeightType* type : weight_types()) {
    CodedRows coded = make_coded_rows(*type, 32, 21, 64);
    code_nearest(work_on(coded, weights), nullptr);
    const std::vector<std::byte> slabs = pack_rows(coded);
    const auto stride = slab_stride(make_dtype(*type, 32), 64, "test");
    REQUIRE(slabs.size() == 2 * stride);
    std::vector<float> decoded(32 * 64), expected(64);
    for (int panel = 0; panel < 2; ++panel) {
      type->decode(&slabs[panel * stride], 64, 32, &decoded[panel * 16 * 64]);
    }
    for (int64_t row = 0; row < 32; ++row) {
      std::fill(expected.begin(), expected.end(), 0.0f);
      if (row < 21) decode_row(coded, row, expected.data());
      CHECK(std::equal(expected.begin(), expected.end(), &decoded[row * 64]));
    }
  }
}

TEST_CASE("plain codes are those that encode() writes") {
  const auto weights = gaussians(16 * 128, 19);
  for (const WeightType* type : weight_types()) {
    CodedRows coded = make_coded_rows(*type, 64, 16, 128);
    code_plain(work_on(coded, weights));
    CHECK(pack_rows(coded) == encode(*type, weights, 64));
  }
}

}  // namespace
}  // namespace mica
