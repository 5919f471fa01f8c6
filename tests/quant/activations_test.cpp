#include "quant/activations.h"

#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <random>
#include <vector>

namespace mica {
namespace {

struct Coded {
  std::vector<int8_t> codes;
  std::vector<float> scales;
};

Coded quantize(const std::vector<float>& x, int group) {
  Coded coded{std::vector<int8_t>(x.size()), std::vector<float>(x.size() / group)};
  quantize_activations(x.data(), static_cast<int64_t>(x.size()), group, coded.codes.data(),
                       coded.scales.data());
  return coded;
}

// One group of 32 that begins with `values`, the rest zeros.
Coded quantize_one(std::vector<float> values) {
  values.resize(32);
  return quantize(values, 32);
}

TEST_CASE("a scale is the largest magnitude / 127 without its two lowest mantissa bits") {
  const Coded coded = quantize_one({1.0f, -0.5f});
  // 1/127 = 0x3c010204 in float; the two lowest bits are already clear.
  CHECK(std::bit_cast<uint32_t>(coded.scales[0]) == 0x3c010204u);
  CHECK(coded.codes[0] == 127);
  CHECK(coded.codes[1] == -64);  // -63.5 lies in the middle: to even

  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    const float x = std::ldexp(static_cast<float>(random()), static_cast<int>(random() % 60) - 60);
    const float scale = quantize_one({x}).scales[0];
    CHECK((std::bit_cast<uint32_t>(scale) & 3u) == 0);
    // Rounding of 1/127 and of the product (2^-24 each), up to three units of 2^-23 cleared.
    CHECK(std::fabs(double{scale} * 127 / x - 1) <= 0x1p-23 + 3 * 0x1p-23);
    const double by_constant = double{scale} * 12582912.0;
    CHECK(static_cast<double>(static_cast<float>(by_constant)) == by_constant);
  }
}

TEST_CASE("codes are x / scale rounded to nearest, ties to even") {
  // 127 * 2^20 makes the scale 2^20 less its error: choose instead a scale that is a power of two.
  // 127 * (1 / 127) rounds to 1 in float, so that amax = 127 gives scale 1 exactly.
  REQUIRE(quantize_one({127.0f}).scales[0] == 1.0f);
  const Coded coded = quantize_one(
      {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49f, 126.5f, -126.5f, 3.0f, -127.0f});
  const int expected[] = {127, 0, 2, 2, 0, -2, -2, 0, 126, -126, 3, -127};
  for (int i = 0; i < 12; ++i) CHECK(coded.codes[i] == expected[i]);
  for (int i = 12; i < 32; ++i) CHECK(coded.codes[i] == 0);
}

TEST_CASE("codes stand for the input to half a scale") {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (const int group : {32, 64, 128}) {
    std::vector<float> x(1920);
    for (float& value : x) value = normal(random);
    const Coded coded = quantize(x, group);
    for (size_t i = 0; i < x.size(); ++i) {
      const double scale = coded.scales[i / group];
      // The cleared bits let 127 codes reach 127 * 2^-21 of a code short of amax.
      CHECK(std::fabs(x[i] - scale * coded.codes[i]) <= scale * (0.5 + 127 * 0x1p-21));
    }
  }
}

TEST_CASE("groups below 2^-100 are zeros, just above they are not") {
  CHECK(quantize_one({0.0f}).scales[0] == 0);
  const Coded below = quantize_one({std::nextafter(0x1p-100f, 0.0f), 1e-40f});
  CHECK(below.scales[0] == 0);
  CHECK(below.codes[0] == 0);
  const Coded at = quantize_one({-0x1p-100f, 1e-40f});
  CHECK(at.scales[0] > 0);
  CHECK(at.codes[0] == -127);
  CHECK(at.codes[1] == 0);
}

TEST_CASE("the largest floats are coded without overflow") {
  const float largest = std::nextafter(0x1p110f, 0.0f);
  const Coded coded = quantize_one({largest, -largest, largest / 2});
  CHECK(std::isfinite(12582912.0f * coded.scales[0]));
  CHECK(coded.codes[0] == 127);
  CHECK(coded.codes[1] == -127);
  CHECK(std::abs(coded.codes[2] - 63.5) == 0.5);
}

TEST_CASE(
    "a group that holds NaN, infinity or 2^110 has scale NaN and codes 0, its neighbours are "
    "well") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), 0x1p110f}) {
    std::vector<float> x(64, 1.0f);
    x[7] = bad;
    const Coded coded = quantize(x, 32);
    CHECK(std::isnan(coded.scales[0]));
    for (int i = 0; i < 32; ++i) CHECK(coded.codes[i] == 0);
    CHECK(coded.scales[1] > 0);
    CHECK(coded.codes[32] == 127);
  }
}

}  // namespace
}  // namespace mica
