#include "lib/runtime/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using Logits = std::vector<float>;

int32_t pick(const SamplerOptions& options, const Logits& logits) {
  return Sampler(options, std::ssize(logits)).sample(logits);
}

// Shares of each id over many draws from the same logits.
std::map<int32_t, double> shares(SamplerOptions options, const Logits& logits, int draws) {
  options.seed = 7;
  Sampler sampler(options, std::ssize(logits));
  std::map<int32_t, double> shares;
  for (int i = 0; i < draws; ++i) shares[sampler.sample(logits)] += 1.0 / draws;
  return shares;
}

std::vector<int32_t> ids_drawn(const SamplerOptions& options, const Logits& logits) {
  std::vector<int32_t> ids;
  for (const auto& [id, share] : shares(options, logits, 3000)) ids.push_back(id);
  return ids;
}

// Logits of given probabilities.
Logits of_probabilities(std::initializer_list<double> probabilities) {
  Logits logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

using Ids = std::vector<int32_t>;

// Computed by the published algorithm in Python: state 0, step, add the seed, step.
TEST_CASE("the generator is PCG32") {
  Pcg32 random(42);
  CHECK(random.next() == 0xc2f57bd6);
  CHECK(random.next() == 0x6b07c4a9);
  CHECK(random.next() == 0x72b7b29b);
  CHECK(random.next() == 0x44215383);
}

TEST_CASE("greedy takes the greatest, of equals the first") {
  CHECK(pick({}, {0, 3, 1, 3}) == 1);
  CHECK(pick({.temperature = 1, .top_k = 1}, {0, 3, 1, 3}) == 1);
}

TEST_CASE("draws follow the softmax of logits over temperature") {
  const Logits logits = {1, 0, -1, 2};
  const int draws = 40000;
  for (const float temperature : {0.5f, 1.0f, 2.0f}) {
    CAPTURE(temperature);
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / temperature);
    const auto found = shares({.temperature = temperature}, logits, draws);
    for (size_t i = 0; i < logits.size(); ++i) {
      const double p = std::exp(logits[i] / temperature) / total;
      const double five_sigma = 5 * std::sqrt(p * (1 - p) / draws);
      CHECK(std::abs(found.at(static_cast<int32_t>(i)) - p) < five_sigma);
    }
  }
}

TEST_CASE("top-k keeps the k most probable, of equals the first") {
  CHECK(ids_drawn({.temperature = 1, .top_k = 2}, {0, 1, 2, 1}) == Ids{1, 2});
  CHECK(ids_drawn({.temperature = 1, .top_k = 100}, {0, 1, 2, 1}) == Ids{0, 1, 2, 3});
}

TEST_CASE("top-p keeps tokens while those before them do not reach p") {
  const Logits logits = of_probabilities({0.1, 0.5, 0.1, 0.3});
  CHECK(ids_drawn({.temperature = 1, .top_p = 0.4f}, logits) == Ids{1});
  CHECK(ids_drawn({.temperature = 1, .top_p = 0.6f}, logits) == Ids{1, 3});
  CHECK(ids_drawn({.temperature = 1, .top_p = 0.85f}, logits) == Ids{0, 1, 3});
  CHECK(ids_drawn({.temperature = 1, .top_p = 1e-6f}, logits) == Ids{1});
}

TEST_CASE("top-p works on what top-k left, as in transformers") {
  // Of 0.5, 0.3 after top-k the first has 0.625: less than 0.65 and more than 0.6.
  const Logits logits = of_probabilities({0.1, 0.5, 0.1, 0.3});
  CHECK(ids_drawn({.temperature = 1, .top_k = 2, .top_p = 0.65f}, logits) == Ids{1, 3});
  CHECK(ids_drawn({.temperature = 1, .top_k = 2, .top_p = 0.6f}, logits) == Ids{1});
}

TEST_CASE("top-p looks as far down a flat distribution as it must") {
  // 1000 tokens, slightly decreasing: 0.5 is reached by the first half, more or less.
  Logits logits;
  for (int i = 0; i < 1000; ++i) logits.push_back(-1e-5f * static_cast<float>((i * 7919) % 1000));
  const auto found = shares({.temperature = 1, .top_p = 0.5f}, logits, 60000);
  // 499 or 500 kept; with 120 draws each on average none of them is missed but by e^-120.
  CHECK(found.size() >= 499);
  CHECK(found.size() <= 500);
  for (const auto& [id, share] : found) CHECK((id * 7919) % 1000 < 500);
}

TEST_CASE("min-p keeps what is at least so probable relative to the first") {
  const Logits logits = of_probabilities({0.1, 0.5, 0.05, 0.35});
  CHECK(ids_drawn({.temperature = 1, .min_p = 0.15f}, logits) == Ids{0, 1, 3});
  CHECK(ids_drawn({.temperature = 1, .min_p = 0.5f}, logits) == Ids{1, 3});
  CHECK(ids_drawn({.temperature = 1, .min_p = 1}, logits) == Ids{1});
}

TEST_CASE("the repetition penalty divides what is positive and multiplies what is negative") {
  Sampler sampler({.repetition_penalty = 2}, 3);
  sampler.see_prompt(Ids{0});
  CHECK(sampler.sample(Logits{3.9f, 2, 0}) == 1);     // 1.95 against 2
  CHECK(sampler.sample(Logits{-1, -3, -1.5f}) == 2);  // -2, -6 (seen just now), -1.5
}

TEST_CASE("frequency and presence penalties count the answer only") {
  Sampler frequency({.frequency_penalty = 1}, 2);
  frequency.see_prompt(Ids{0, 0, 0});
  CHECK(frequency.sample(Logits{1.5f, 0}) == 0);
  CHECK(frequency.sample(Logits{1.5f, 0}) == 0);  // 0.5 against 0
  CHECK(frequency.sample(Logits{1.5f, 0}) == 1);  // -0.5 against 0

  Sampler presence({.presence_penalty = 1}, 2);
  for (int i = 0; i < 5; ++i) CHECK(presence.sample(Logits{1.5f, 0}) == 0);  // 0.5 each time
}

TEST_CASE("a bias is added first; minus infinity forbids") {
  CHECK(pick({.bias = {{2, 5}}}, {1, 2, 0}) == 2);
  CHECK(pick({.bias = {{1, -kInfinity}}}, {1, 2, 0}) == 0);
  CHECK(ids_drawn({.temperature = 1, .bias = {{1, -kInfinity}}}, {1, 2, 0}) == Ids{0, 2});
}

TEST_CASE("infinite logits and those that are no numbers do no harm") {
  for (const float temperature : {0.0f, 1.0f}) {
    CHECK(pick({.temperature = temperature}, {kNan, 1, -kInfinity}) == 1);
    CHECK(pick({.temperature = temperature}, {0, kInfinity, kNan}) == 1);
    const Error error = error_of([&] { pick({.temperature = temperature}, {kNan, -kInfinity}); });
    CHECK(error.code() == ErrorCode::kRuntime);
  }
  CHECK(pick({.temperature = 1e-30f}, {1, 1.0001f}) == 1);
  CHECK(pick({.temperature = 1e30f, .seed = 1}, {1, 1}) >= 0);
}

TEST_CASE("the same seed draws the same tokens, another one others") {
  const auto draw = [](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed}, 100);
    Ids ids;
    for (int i = 0; i < 50; ++i) ids.push_back(sampler.sample(Logits(100, 0.0f)));
    return ids;
  };
  CHECK(draw(1) == draw(1));
  CHECK(draw(1) != draw(2));
  const SamplerOptions options{.temperature = 1};
  CHECK(Sampler(options, 1).seed() != Sampler(options, 1).seed());
}

TEST_CASE("options out of range are named with what was expected and found") {
  const struct {
    SamplerOptions options;
    const char* sentence;
  } rows[] = {
      {{.temperature = -1}, "sampling.temperature: expected 0 or more, found -1"},
      {{.temperature = kNan}, "sampling.temperature: expected 0 or more, found nan"},
      {{.temperature = kInfinity}, "sampling.temperature: expected 0 or more, found inf"},
      {{.top_k = -3}, "sampling.top_k: expected 0 or more, found -3"},
      {{.top_p = 0}, "sampling.top_p: expected 0 < top_p <= 1, found 0"},
      {{.top_p = 7}, "sampling.top_p: expected 0 < top_p <= 1, found 7"},
      {{.min_p = 1.5f}, "sampling.min_p: expected 0 .. 1, found 1.5"},
      {{.repetition_penalty = 0}, "sampling.repetition_penalty: expected more than 0, found 0"},
      {{.frequency_penalty = kNan},
       "sampling.frequency_penalty: expected a finite number, found nan"},
      {{.presence_penalty = -kInfinity},
       "sampling.presence_penalty: expected a finite number, found -inf"},
      {{.bias = {{0, kNan}}}, "sampling.bias: expected a number below infinity, found nan"},
      {{.bias = {{3, 1}}}, "sampling.bias: expected an id below 3, found 3"},
      {{.bias = {{-1, 1}}}, "sampling.bias: expected an id below 3, found -1"},
  };
  for (const auto& row : rows) {
    const Error error = error_of([&] { Sampler(row.options, 3); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.message() == row.sentence);
  }
}

}  // namespace
}  // namespace mica::testing
