#include "lib/model/rope.h"

#include <cmath>
#include <doctest/doctest.h>
#include <span>

namespace mica {
namespace {

constexpr int64_t kContext = 4096;

struct Expected {
  int pair;
  float frequency;
};

// Two roundings of pow, a handful more in scaling: a few units in the last place of 2^-23.
void check_frequencies(const std::vector<float>& inverse, std::span<const Expected> rows) {
  for (const Expected& row : rows) {
    CAPTURE(row.pair);
    CHECK(inverse[row.pair] == doctest::Approx(row.frequency).epsilon(5e-7));
  }
}

TEST_CASE("inverse frequencies are powers of the base") {
  const auto inverse = rope_inverse_frequencies({.base = 10000, .size = 8}, kContext);
  REQUIRE(inverse.size() == 4);
  CHECK(inverse[0] == 1);
  CHECK(inverse[1] == doctest::Approx(0.1));
  CHECK(inverse[2] == doctest::Approx(0.01));
  CHECK(inverse[3] == doctest::Approx(0.001));
}

TEST_CASE("linear scaling divides all frequencies, a list each by its own") {
  const auto linear = rope_inverse_frequencies(
      {.base = 10000, .size = 4, .scaling = RopeConfig::Scaling::kLinear, .factor = 4}, kContext);
  CHECK(linear == std::vector<float>{0.25f, 0.01f / 4});
  const auto listed = rope_inverse_frequencies(
      {.base = 10000, .size = 4, .scaling = RopeConfig::Scaling::kFactors, .factors = {2, 8}},
      kContext);
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
                                                 .original_context_length = 8192},
                                                kContext);
  REQUIRE(inverse.size() == 64);
  const Expected rows[] = {{0, 1.0f},
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
  check_frequencies(inverse, rows);
}

// ROPE_INIT_FUNCTIONS["yarn"] of transformers 5.23: Qwen2.5's numbers, then a blend whose bounds
// are not whole pairs.
TEST_CASE("yarn scaling gives what transformers gives") {
  RopeConfig rope{.base = 1000000,
                  .size = 128,
                  .scaling = RopeConfig::Scaling::kYarn,
                  .factor = 4,
                  .original_context_length = 32768};
  const Expected usual[] = {{0, 1.0f},
                            {1, 0.8058422207832336f},
                            {20, 0.01333521492779255f},
                            {28, 0.0018482765881344676f},
                            {29, 0.0014051124453544617f},
                            {33, 0.0004503235686570406f},
                            {36, 0.0001798411540221423f},
                            {40, 4.4456985051510856e-05f},
                            {41, 3.582531644497067e-05f},
                            {63, 3.102344408034696e-07f}};
  check_frequencies(rope_inverse_frequencies(rope, kContext), usual);

  rope.base = 10000;
  rope.factor = 40;
  rope.beta_fast = 16;
  rope.beta_slow = 2;
  rope.truncate = false;
  rope.original_context_length = 4096;
  const Expected odd[] = {{0, 1.0f},
                          {25, 0.0273841954767704f},
                          {26, 0.02333124354481697f},
                          {30, 0.009520861320197582f},
                          {40, 0.00012395245721563697f},
                          {41, 6.846048927400261e-05f},
                          {42, 5.928434620727785e-05f},
                          {63, 2.886954689529375e-06f}};
  check_frequencies(rope_inverse_frequencies(rope, kContext), odd);
}

// ROPE_INIT_FUNCTIONS["dynamic"] of transformers 5.23 for sequences of 4096 and 6000.
TEST_CASE("dynamic scaling grows the base with the context beyond the original one") {
  const RopeConfig rope{.base = 10000,
                        .size = 128,
                        .scaling = RopeConfig::Scaling::kDynamic,
                        .factor = 2,
                        .original_context_length = 4096};
  const Expected plain[] = {{1, 0.8659643530845642f}, {31, 0.011547819711267948f}};
  const Expected grown[] = {
      {1, 0.8569756150245667f}, {31, 0.008356458507478237f}, {63, 5.984295785310678e-05f}};
  check_frequencies(rope_inverse_frequencies(rope, 100), plain);
  check_frequencies(rope_inverse_frequencies(rope, 4096), plain);
  check_frequencies(rope_inverse_frequencies(rope, 6000), grown);
}

TEST_CASE("longrope divides by one list up to the original context, by another beyond") {
  const RopeConfig rope{.base = 10000,
                        .size = 4,
                        .scaling = RopeConfig::Scaling::kLongRope,
                        .original_context_length = 4096,
                        .factors = {2, 8},
                        .long_factors = {4, 16}};
  CHECK(rope_inverse_frequencies(rope, 4096) == std::vector<float>{0.5f, 0.01f / 8});
  CHECK(rope_inverse_frequencies(rope, 4097) == std::vector<float>{0.25f, 0.01f / 16});
}

TEST_CASE("angles are position times frequency, rounded to float before the functions") {
  const std::vector<float> inverse = {1.0f, 0.1f};
  float cosine[2], sine[2];
  rope_angles(inverse, 0, 1, cosine, sine);
  CHECK(cosine[0] == 1);
  CHECK(sine[1] == 0);
  rope_angles(inverse, 8191, 1, cosine, sine);
  CHECK(cosine[0] == static_cast<float>(std::cos(8191.0)));
  CHECK(sine[1] == static_cast<float>(std::sin(static_cast<double>(8191 * 0.1f))));
  rope_angles(inverse, 0, 1.25f, cosine, sine);
  CHECK(cosine[0] == 1.25f);
}

}  // namespace
}  // namespace mica
