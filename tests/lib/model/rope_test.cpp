#include "lib/model/rope.h"

#include <cmath>
#include <doctest/doctest.h>

namespace mica {
namespace {

TEST_CASE("inverse frequencies are powers of the base") {
  const auto inverse = rope_inverse_frequencies({.base = 10000, .size = 8});
  REQUIRE(inverse.size() == 4);
  CHECK(inverse[0] == 1);
  CHECK(inverse[1] == doctest::Approx(0.1));
  CHECK(inverse[2] == doctest::Approx(0.01));
  CHECK(inverse[3] == doctest::Approx(0.001));
}

TEST_CASE("linear scaling divides all frequencies, a list each by its own") {
  const auto linear = rope_inverse_frequencies(
      {.base = 10000, .size = 4, .scaling = RopeConfig::Scaling::kLinear, .factor = 4});
  CHECK(linear == std::vector<float>{0.25f, 0.01f / 4});
  const auto listed = rope_inverse_frequencies(
      {.base = 10000, .size = 4, .scaling = RopeConfig::Scaling::kFactors, .factors = {2, 8}});
  CHECK(listed == std::vector<float>{0.5f, 0.01f / 8});
}

// Llama 3.1 8B: base 500000, heads of 128, factor 8, 1 and 4, 8192. Of transformers 5.23
// (ROPE_INIT_FUNCTIONS["llama3"]); the pairs lie in the kept, blended and stretched parts.
TEST_CASE("llama3 scaling gives what transformers gives") {
  const auto inverse = rope_inverse_frequencies({.base = 500000,
                                                 .size = 128,
                                                 .scaling = RopeConfig::Scaling::kLlama3,
                                                 .factor = 8,
                                                 .low_frequency_factor = 1,
                                                 .high_frequency_factor = 4,
                                                 .original_context_length = 8192});
  REQUIRE(inverse.size() == 64);
  const struct {
    int pair;
    float expected;
  } rows[] = {{0, 1.0f},
              {1, 0.8146172165870667f},
              {20, 0.016560440883040428f},
              {28, 0.0032114461064338684f},
              {29, 0.0021665706299245358f},
              {30, 0.0013718936825171113f},
              {32, 0.0005248460220173001f},
              {34, 0.0001785077911335975f},
              {35, 9.556212171446532e-05f},
              {40, 3.428102354519069e-05f},
              {63, 3.068925877869333e-07f}};
  for (const auto& row : rows) {
    CAPTURE(row.pair);
    // Two roundings of pow, a handful more in the blend: a few units in the last place of 2^-23.
    CHECK(inverse[row.pair] == doctest::Approx(row.expected).epsilon(5e-7));
  }
}

TEST_CASE("angles are position times frequency, rounded to float before the functions") {
  const std::vector<float> inverse = {1.0f, 0.1f};
  float cosine[2], sine[2];
  rope_angles(inverse, 0, cosine, sine);
  CHECK(cosine[0] == 1);
  CHECK(sine[1] == 0);
  rope_angles(inverse, 8191, cosine, sine);
  CHECK(cosine[0] == static_cast<float>(std::cos(8191.0)));
  CHECK(sine[1] == static_cast<float>(std::sin(static_cast<double>(8191 * 0.1f))));
}

}  // namespace
}  // namespace mica
