// Perplexity and KL divergence as llama.cpp's llama-perplexity computes them, so that figures
// compare across programs: the text is tokenized once and cut into windows without overlap, the
// first token of each replaced by BOS where the tokenizer adds one; positions context / 2 ..
// context - 2 are scored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/log.h"
#include "lib/runtime/compare_layers.h"
#include "lib/runtime/kl_base.h"
#include "lib/runtime/loaded_model.h"
#include "lib/runtime/statistics.h"

namespace mica {

struct EvaluateOptions {
  int64_t context = 512;  // tokens of a window; with kl_base its own
  int64_t windows = 0;    // the first so many; 0: all
  KvType kv = KvType::kF16;
  std::string kl_base;       // compare with this base file; tokens come from it
  std::string save_kl_base;  // write a base file
  // Also compare the outputs of layers with this model's; must live until evaluate returns.
  const LoadedModel* reference = nullptr;
  Progress progress;  // windows done
};

// The model against the base.
struct KlResult {
  Distribution kl;                      // sum of p_base (log p_base - log p) over the vocabulary
  Distribution probability_difference;  // of the text's token: p - p_base
  Estimate probability_difference_rms;
  Estimate perplexity_ratio;  // model / base
  Estimate base_perplexity;
  double log_correlation = 0;  // of the two's log-probabilities of the text's tokens
  Estimate top1_agreement;     // share of positions with the same most probable token
};

struct EvaluateResult {
  Estimate perplexity;
  int64_t windows = 0;
  int64_t scored_tokens = 0;
  std::optional<KlResult> kl;
  std::vector<LayerError> layers;  // with a reference
};

// `text` is not used with kl_base. Throws Error(kUsage) for options out of range and a text shorter
// than one window, Error(kInterrupted) when progress returns false.
EvaluateResult evaluate(const LoadedModel& model, std::string_view text,
                        const EvaluateOptions& options);

}  // namespace mica
