// What a model is: the numbers of the "model" object in a file's metadata (formats/FORMAT.md,
// "Metadata"), every one checked, so that sizes computed from them fit an int64_t.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/json.h"

namespace mica {

// Rotary position embedding: which angle each channel pair turns by.
struct RopeConfig {
  enum class Scaling { kNone, kLinear, kLlama3, kFactors, kYarn, kDynamic, kLongRope };

  double base = 0;
  int64_t size = 0;  // rotated channels of a head, even, at most the head size
  Scaling scaling = Scaling::kNone;
  double factor = 1;                    // linear, llama3, yarn, dynamic
  double low_frequency_factor = 1;      // llama3
  double high_frequency_factor = 1;     // llama3
  int64_t original_context_length = 0;  // llama3, yarn, dynamic, longrope
  double beta_fast = 32;                // yarn
  double beta_slow = 1;                 // yarn
  bool truncate = true;                 // yarn
  std::vector<float> factors;           // [size / 2] divisors of the frequencies; longrope: in
                                        // contexts up to the original one
  std::vector<float> long_factors;      // [size / 2] longrope, in longer ones
  float attention_factor = 1;           // cosine and sine are multiplied by it
};

struct ModelConfig {
  std::string architecture;
  std::string name;
  int64_t layers = 0;
  int64_t hidden_size = 0;        // D
  int64_t feed_forward_size = 0;  // F
  int64_t heads = 0;              // H
  int64_t kv_heads = 0;           // K, divides H
  int64_t head_size = 0;          // E, even
  int64_t vocabulary_size = 0;    // V
  int64_t context_length = 0;
  float norm_epsilon = 0;
  Activation activation = Activation::kSilu;
  bool tied_embeddings = false;
  bool parallel_residual = false;  // attention and feed-forward have the same input
  float embedding_scale = 1;
  float residual_scale = 1;
  float logits_scale = 1;
  float attention_scale = 1;    // 1 / sqrt(E) unless the file says otherwise
  float attention_softcap = 0;  // 0: none
  float logits_softcap = 0;     // 0: none
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;  // of windowed layers; else they have the other
  int64_t window = 0;                     // positions that a windowed layer sees; 0: none
  std::vector<bool> windowed_layers;      // [layers]
  std::vector<bool> rope_layers;          // [layers], false: no rotation
};

// Throws Error(kInvalidFile) or, for settings that are not known here, Error(kUnsupported); `file`
// begins the sentences: "model.mica: model.heads: expected 1 .. 65536, found 0".
ModelConfig parse_model_config(const Json& model, std::string_view file);

}  // namespace mica
