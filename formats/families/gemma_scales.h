// The scales of Gemma, 2 and 3: one rule for all.
#pragma once

#include <cmath>

#include "formats/family.h"

namespace mica {

inline double gemma_embedding_scale(const SourceConfig& config) {
  return std::sqrt(static_cast<double>(config.hidden_size));
}

inline void read_gemma_scales(const HfSettings& settings, SourceConfig& config) {
  config.embedding_scale = gemma_embedding_scale(config);
  config.attention_scale = 1 / std::sqrt(settings.number("query_pre_attn_scalar", 0));
  config.attention_softcap = settings.number("attn_logit_softcapping", 0);
  config.logits_softcap = settings.number("final_logit_softcapping", 0);
}

// Its inverse. transformers 5 insists on a whole number.
inline void write_gemma_scales(const Json& model, Json& config) {
  const auto inverse_square = [](double x) { return 1 / std::sqrt(x); };
  const double scale =
      number_or(model, "attention_scale", inverse_square(model["head_size"].as_number()));
  const double scalar = solve(1 / (scale * scale), scale, inverse_square);
  config["query_pre_attn_scalar"] = static_cast<int64_t>(std::lround(scalar));
  config["attn_logit_softcapping"] = model["attention_softcap"];
  config["final_logit_softcapping"] = model["logits_softcap"];
}

// GGUF files do not say the attention's scale: the model of 27 billion weights, known by its
// number of layers, counts another head size.
inline void read_gemma_scales(const GgufKeys& keys, int64_t layers_of_27b, SourceConfig& config) {
  config.embedding_scale = gemma_embedding_scale(config);
  const bool is_27b = config.layers == layers_of_27b;
  const int64_t size = is_27b ? config.hidden_size / config.heads : config.head_size;
  config.attention_scale = keys.factor("attention.scale", 1 / std::sqrt(static_cast<double>(size)));
}

}  // namespace mica
