// Generation: prompt in, text out piece by piece, until a stop.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/runtime/sampler.h"
#include "lib/runtime/session.h"

namespace mica {

// Told about every token: the text that is now certain (whole UTF-8 characters, may be empty) and
// the token's id; at the end perhaps once more with held-back text and id -1. Returns false to
// stop.
using TokenCallback = std::function<bool(std::string_view text, TokenId id)>;

struct GenerateOptions {
  int64_t max_tokens = -1;  // negative: until the context is full
  SamplerOptions sampling;
  std::vector<std::string> stop;  // none of these appears in the text
  bool ignore_eos = false;        // go on after the model's end tokens
  TokenCallback callback;         // may be empty
  const CancelFlag* cancel = nullptr;
};

enum class FinishReason {
  kStop,       // an end token or a stop string
  kLength,     // max_tokens, or the context is full
  kCancelled,  // by the callback or the flag
};
const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled"

struct GenerateResult {
  std::string text;             // without end tokens and stop strings
  std::vector<TokenId> tokens;  // all that were chosen, an end token included
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  // of the prompt, held by the session before
  FinishReason finish_reason = FinishReason::kLength;
  uint64_t seed = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;  // from the first token chosen on

  double prefill_tokens_per_second() const;  // of those not reused
  double decode_tokens_per_second() const;   // of steps: the first token comes from the prefill
};

// Makes `prompt` the session's content (what it already holds of it is not computed again) and
// continues it. Afterwards the session holds the prompt and all tokens but the last. Throws as
// Session::replace and Sampler do.
GenerateResult generate(Session& session, std::span<const TokenId> prompt,
                        const GenerateOptions& options);

}  // namespace mica
