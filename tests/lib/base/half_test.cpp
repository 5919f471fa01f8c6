#include "lib/base/half.h"

#include <cmath>
#include <doctest/doctest.h>
#include <initializer_list>
#include <limits>

using namespace mica;

namespace {

// The definition of IEEE 754 binary16, in double, which holds all its values.
double f16_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

float next_up(float value) {
  return std::nextafter(value, std::numeric_limits<float>::infinity());
}
float next_down(float value) {
  return std::nextafter(value, 0.0f);
}

}  // namespace

TEST_CASE("every finite f16 has the value of its definition and comes back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    const float value = f16_to_f32(half);
    REQUIRE(value == f16_value(half));
    REQUIRE(std::signbit(value) == (bits >= 0x8000));
    REQUIRE(f32_to_f16(value) == half);
  }
}

TEST_CASE("f16 infinities come back and every f16 NaN stays a NaN of its sign") {
  for (const uint16_t sign : {0x0000, 0x8000}) {
    const uint16_t infinity = sign | 0x7c00;
    CHECK(std::isinf(f16_to_f32(infinity)));
    CHECK(f32_to_f16(f16_to_f32(infinity)) == infinity);
    for (uint16_t payload = 1; payload < 1024; ++payload) {
      const float nan = f16_to_f32(static_cast<uint16_t>(infinity | payload));
      REQUIRE(std::isnan(nan));
      REQUIRE((f32_to_f16(nan) & 0xfc00) == infinity);
      REQUIRE((f32_to_f16(nan) & 0x3ff) != 0);
    }
  }
}

// Rounding is monotonous, so the points half way between neighbours and their f32 neighbours
// decide every other value.
TEST_CASE("f32 rounds to the nearest f16, ties to even, at every boundary") {
  for (uint16_t low = 0; low < 0x7bff; ++low) {
    const uint16_t high = low + 1;
    const float middle = static_cast<float>((f16_value(low) + f16_value(high)) / 2);
    const uint16_t even = low % 2 == 0 ? low : high;
    REQUIRE(f32_to_f16(middle) == even);
    REQUIRE(f32_to_f16(next_up(middle)) == high);
    REQUIRE(f32_to_f16(next_down(middle)) == low);
    REQUIRE(f32_to_f16(-middle) == (even | 0x8000));
    REQUIRE(f32_to_f16(-next_up(middle)) == (high | 0x8000));
  }
}

TEST_CASE("what is half a step above the largest f16 becomes infinity") {
  CHECK(f32_to_f16(next_down(65520.0f)) == 0x7bff);
  CHECK(f32_to_f16(65520.0f) == 0x7c00);
  CHECK(f32_to_f16(-65520.0f) == 0xfc00);
  CHECK(f32_to_f16(std::numeric_limits<float>::max()) == 0x7c00);
  CHECK(f32_to_f16(std::numeric_limits<float>::denorm_min()) == 0);
}

TEST_CASE("every bf16 has the value of its bits and comes back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = bf16_to_f32(half);
    REQUIRE(std::bit_cast<uint32_t>(value) == bits << 16);
    if (std::isnan(value)) {
      REQUIRE(std::isnan(bf16_to_f32(f32_to_bf16(value))));
    } else {
      REQUIRE(f32_to_bf16(value) == half);
    }
  }
}

TEST_CASE("f32 rounds to the nearest bf16, ties to even, at every boundary") {
  for (uint32_t low = 0; low < 0x7f80; ++low) {
    const uint32_t middle = low << 16 | 0x8000;
    const auto rounded = [](uint32_t bits) { return f32_to_bf16(std::bit_cast<float>(bits)); };
    REQUIRE(rounded(middle) == (low % 2 == 0 ? low : low + 1));
    REQUIRE(rounded(middle + 1) == low + 1);
    REQUIRE(rounded(middle - 1) == low);
    REQUIRE(rounded(middle + 1 + 0x80000000u) == low + 1 + 0x8000);
  }
}

TEST_CASE("a NaN whose payload lies in the low bits only stays a NaN in bf16") {
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xffffffffu)))));
}
