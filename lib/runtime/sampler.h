// Chooses the next token from logits, in the order of Hugging Face transformers' processors:
//
//   bias, repetition penalty, frequency and presence penalty; then, unless greedy:
//   temperature, top-k, top-p, min-p, draw
//
// Deterministic: the same options, seed and logits give the same tokens on every platform whose
// exp() agrees. Equal logits are ordered by id. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/base/error.h"

namespace mica {

struct LogitBias {
  int32_t id = 0;
  float value = 0;  // added to the logit; -infinity forbids the token
};

struct SamplerOptions {
  float temperature = 0;         // 0: greedy
  int64_t top_k = 0;             // keep the k most probable; 0: all
  float top_p = 1;               // keep the fewest that together reach p; 1: all
  float min_p = 0;               // keep those at least min_p times as probable as the first; 0: all
  float repetition_penalty = 1;  // over prompt and answer (arXiv:1909.05858); 1: none
  float frequency_penalty = 0;   // subtracted per occurrence in the answer
  float presence_penalty = 0;    // subtracted once for what occurs in the answer
  std::optional<uint64_t> seed;  // none: from the system
  std::vector<LogitBias> bias;
};

// Throws Error(code) for numbers out of range: "<what>.top_p: expected 0 < top_p <= 1, found 7".
void check_sampler_options(const SamplerOptions& options, ErrorCode code, std::string_view what);

// PCG-XSH-RR 64/32 (O'Neill 2014, https://www.pcg-random.org): small and the same everywhere.
class Pcg32 {
 public:
  explicit Pcg32(uint64_t seed);
  uint32_t next();
  double uniform();  // [0, 1), 53 bits

 private:
  uint64_t state_ = 0;
};

class Sampler {
 public:
  // `vocabulary_size`: of the tokenizer; a model may have more logits, since embeddings are padded.
  // Throws Error(kUsage) for options out of range and bias ids not below it.
  Sampler(const SamplerOptions& options, int64_t vocabulary_size);

  uint64_t seed() const { return seed_; }
  // Tokens of the prompt count for the repetition penalty.
  void see_prompt(std::span<const int32_t> ids);
  // The next token, counted as part of the answer. `logits`: [V], or more that are never chosen. A
  // NaN counts as -infinity; throws Error(kRuntime) when no token is possible at all.
  int32_t sample(std::span<const float> logits);

 private:
  struct Candidate {
    int32_t id;
    float weight;  // probability relative to the most probable token; its logit until then
  };
  struct Seen {
    bool anywhere = false;
    int64_t in_answer = 0;
  };

  void penalize(std::span<float> logits) const;
  int32_t draw(float greatest);
  void take_top_k(size_t k);
  double total_weight() const;
  void keep_top_p();
  void sort_first(size_t count);

  SamplerOptions options_;
  uint64_t seed_;
  Pcg32 random_;
  std::unordered_map<int32_t, Seen> seen_;
  std::vector<float> logits_;          // [V] of the tokenizer, after bias and penalties
  std::vector<Candidate> candidates_;  // those still in the draw
  size_t sorted_ = 0;                  // candidates in descending order
};

}  // namespace mica
