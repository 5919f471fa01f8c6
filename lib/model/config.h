// What a model is: the numbers of the "model" object in a file's metadata (formats/FORMAT.md,
// "Metadata"), every one checked, so that sizes computed from them fit an int64_t.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/json.h"

namespace mica {

// Rotary position embedding: which angle each channel pair turns by.
struct RopeConfig {
  enum class Scaling { kNone, kLinear, kLlama3, kFactors };

  double base = 0;
  int64_t size = 0;  // rotated channels of a head, even, at most the head size
  Scaling scaling = Scaling::kNone;
  double factor = 1;  // linear, llama3
  double low_frequency_factor = 1;
  double high_frequency_factor = 1;
  int64_t original_context_length = 0;
  std::vector<float> factors;  // [size / 2] divisors of the frequencies
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
  RopeConfig rope;
  bool tied_embeddings = false;
};

// Throws Error(kInvalidFile) or, for settings that are not known here, Error(kUnsupported); `file`
// begins the sentences: "model.mica: model.heads: expected 1 .. 65536, found 0".
ModelConfig parse_model_config(const Json& model, std::string_view file);

}  // namespace mica
