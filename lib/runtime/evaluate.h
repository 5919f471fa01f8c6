// Perplexity and KL divergence as llama.cpp's llama-perplexity computes them, so that figures
// compare across programs: the text is tokenized once and cut into windows without overlap, the
// first token of each replaced by BOS where the tokenizer adds one; positions context / 2 ..
// context - 2 are scored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/log.h"
#include "lib/runtime/kl_base.h"
#include "lib/runtime/loaded_model.h"

namespace mica {

struct EvaluateOptions {
  int64_t context = 512;  // tokens of a window; with kl_base its own
  int64_t windows = 0;    // the first so many; 0: all
  KvType kv = KvType::kF16;
  std::string kl_base;       // compare with this base file; tokens come from it
  std::string save_kl_base;  // write a base file
  Progress progress;         // windows done
};

struct Estimate {
  double value = 0;
  double standard_error = 0;
};

// The model against the base: sum of p_base (log p_base - log p) over the vocabulary.
struct KlResult {
  Estimate mean;
  double p99 = 0;
  double max = 0;
  Estimate perplexity_ratio;  // model / base
  double base_perplexity = 0;
  Estimate top1_agreement;  // share of positions with the same most probable token
};

struct EvaluateResult {
  Estimate perplexity;
  int64_t windows = 0;
  int64_t scored_tokens = 0;
  std::optional<KlResult> kl;
};

// `text` is not used with kl_base. Throws Error(kUsage) for options out of range and a text shorter
// than one window, Error(kInterrupted) when progress returns false.
EvaluateResult evaluate(const LoadedModel& model, std::string_view text,
                        const EvaluateOptions& options);

}  // namespace mica
