#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <random>

#include "tests/quant/slab.h"

namespace mica {
namespace {

std::vector<float> gaussian_rows(int64_t cols, unsigned seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> rows(kPanelRows * cols);
  for (float& w : rows) w = normal(random);
  return rows;
}

template <class F>
void for_each_type(F&& test) {
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) {
      const std::string name = dtype_name(make_dtype(*type, group));
      CAPTURE(name);
      test(*type, group);
    }
  }
}

TEST_CASE("decoded weights encode to the same bytes again") {
  for_each_type([](const WeightType& type, int group) {
    for (const unsigned seed : {1u, 2u, 3u}) {
      const auto slab =
          encode(type, gaussian_rows(640, seed, 0.02f * static_cast<float>(seed)), group);
      CHECK(encode(type, decode(type, slab, 640, group), group) == slab);
    }
  });
}

TEST_CASE("every weight gets the code nearest to it") {
  // Half a step and what the float arithmetic of the code (relative 2^-22) and q4's zero (a
  // sixteenth of a step) add. Only weights beyond the last code may be further away, by at most one
  // step in q4s (whose range is lopsided) and by the rounding of scale and minimum to fp16 in the
  // others.
  for_each_type([](const WeightType& type, int group) {
    const int64_t cols = 640;
    const auto rows = gaussian_rows(cols, 7);
    const auto slab = encode(type, rows, group);
    const auto decoded = decode(type, slab, cols, group);
    std::vector<int16_t> q(rows.size());
    std::vector<float> scales(rows.size() / group), minimums(scales.size());
    type.unpack(slab.data(), cols, group, {q.data(), scales.data(), minimums.data()});
    const bool eighths = std::string_view(type.prefix) == "q4";
    const double beyond = std::string_view(type.prefix) == "q4s" ? 1.0 : 0.5 + 1.0 / 16 + 0.01;
    for (size_t i = 0; i < rows.size(); ++i) {
      const double step = std::fabs(scales[i / group]) * (eighths ? 8.0 : 1.0);
      const auto [low, high] =
          std::minmax_element(&decoded[i / group * group], &decoded[i / group * group] + group);
      const bool inside = rows[i] >= *low && rows[i] <= *high;
      CHECK(std::fabs(rows[i] - decoded[i]) <= step * (inside ? 0.5001 : beyond));
    }
  });
}

TEST_CASE("q4 codes are the best of all 16 for the scale and zero that are stored") {
  const int64_t cols = 128;
  const auto rows = gaussian_rows(cols, 11);
  const WeightType& type = weight_type("q4");
  const auto slab = encode(type, rows, 32);
  const auto decoded = decode(type, slab, cols, 32);
  std::vector<int16_t> q(rows.size());
  std::vector<float> scales(rows.size() / 32), minimums(scales.size());
  type.unpack(slab.data(), cols, 32, {q.data(), scales.data(), minimums.data()});
  const size_t zeros = 16 * cols / 2 + 16 * cols / 32 * 2;
  for (int64_t i = 0; i < kPanelRows * cols; ++i) {
    const int64_t r = i / cols, index = i % cols / 32;
    const int zero = std::to_integer<int>(slab[zeros + index * 16 + r]);
    CHECK(zero <= 128);
    double best = 1e9;
    for (int code = 0; code < 16; ++code) {
      best =
          std::min(best, std::fabs(double{rows[i]} - double{scales[i / 32]} * (8 * code - zero)));
    }
    // The code's float arithmetic may miss a tie by 2^-20 of a step.
    CHECK(std::fabs(double{rows[i]} - decoded[i]) <= best + scales[i / 32] * 0x1p-20);
  }
}

TEST_CASE("the error on Gaussian weights is the one quant/README.md states") {
  // 16 x 65536 weights: the figures vary by less than 0.5 % between seeds.
  const std::map<std::string, double> stated = {
      {"q4g32", 0.0783},   {"q4g64", 0.0896},   {"q4g128", 0.0997}, {"q4sg32", 0.0859},
      {"q4sg64", 0.0949},  {"q4sg128", 0.1031}, {"q4mg32", 0.0782}, {"q4mg64", 0.0896},
      {"q4mg128", 0.0997}, {"q8g32", 0.00535},  {"q8g64", 0.00593}, {"q8g128", 0.00646}};
  const int64_t cols = 65536;
  const auto rows = gaussian_rows(cols, 5);
  for_each_type([&](const WeightType& type, int group) {
    const auto decoded = decode(type, encode(type, rows, group), cols, group);
    double error = 0, power = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      error += std::pow(double{rows[i]} - decoded[i], 2);
      power += std::pow(double{rows[i]}, 2);
    }
    const double expected = stated.at(dtype_name(make_dtype(type, group)));
    CHECK(std::sqrt(error / power) == doctest::Approx(expected).epsilon(0.01));
  });
}

TEST_CASE("groups of one sign, constants and single spikes stay within a step of themselves") {
  const int64_t cols = 256;
  std::vector<float> rows(kPanelRows * cols);
  for (int r = 0; r < kPanelRows; ++r) {
    for (int64_t k = 0; k < cols; ++k) {
      const float spike = k % 32 == 5 ? 3.0f : 0.0f;
      const float values[] = {0.7f,
                              -0.7f,
                              2 + 0.01f * static_cast<float>(k % 13),
                              -2 - 0.01f * static_cast<float>(k % 13),
                              spike,
                              -spike};
      rows[r * cols + k] = values[r % 6];
    }
  }
  // A range that must hold 0 has steps of up to 2.13 / 15; q4s has steps of 3 / 8, the end beyond
  // its code 15 costs one of them.
  for_each_type([&](const WeightType& type, int group) {
    const auto decoded = decode(type, encode(type, rows, group), cols, group);
    for (size_t i = 0; i < rows.size(); ++i) {
      CHECK(std::fabs(rows[i] - decoded[i]) <= 3.0f / 8 * 1.001f);
      if (rows[i] == 0) CHECK(std::fabs(decoded[i]) <= 3.0f / 16 / 15 * 1.01f);
    }
  });
}

TEST_CASE("rows of zeros decode to zeros, whatever the slab held before") {
  const int64_t cols = 96 * 4;
  std::vector<float> rows = gaussian_rows(cols, 3);
  std::fill(rows.begin() + 5 * cols, rows.end(), 0.0f);
  for_each_type([&](const WeightType& type, int group) {
    const auto slab = encode(type, rows, group);
    const auto decoded = decode(type, slab, cols, group);
    CHECK(std::all_of(decoded.begin() + 5 * cols, decoded.end(), [](float w) { return w == 0; }));
    CHECK(std::any_of(decoded.begin(), decoded.begin() + 5 * cols, [](float w) { return w != 0; }));
    const DType dtype = make_dtype(type, group);
    const auto used = static_cast<size_t>(16 * cols * bits_per_weight(dtype) / 8);
    CHECK(
        std::all_of(slab.begin() + used, slab.end(), [](std::byte b) { return b == std::byte{}; }));
  });
}

TEST_CASE("weights at the edge of the range encode without overflow, tiny ones to zero") {
  for_each_type([](const WeightType& type, int group) {
    std::vector<float> rows(kPanelRows * 128);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i % 2 ? 65504.0f : -65504.0f;
    for (const float w : decode(type, encode(type, rows, group), 128, group)) {
      // One step of q4s, 65504 / 8, is the largest error.
      CHECK(std::fabs(std::fabs(w) - 65504.0f) <= 65504.0f / 8 * 1.01f);
    }
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = i % 2 ? 1e-12f : -1e-40f;
    for (const float w : decode(type, encode(type, rows, group), 128, group)) CHECK(w == 0);
  });
}

}  // namespace
}  // namespace mica
