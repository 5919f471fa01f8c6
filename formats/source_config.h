// What every importer finds out about a model, checked the same way whatever the source calls it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "lib/base/json.h"

namespace mica {

// Whether a model has some biases in every layer. kOptional: its tensors tell.
enum class Biases { kNever, kOptional, kAlways };

struct SourceConfig {
  std::string architecture;  // "llama", "qwen2"
  std::string name;
  int64_t layers = 0;
  int64_t hidden_size = 0;        // D
  int64_t feed_forward_size = 0;  // F
  int64_t heads = 0;              // H
  int64_t kv_heads = 0;           // K
  int64_t head_size = 0;          // E
  int64_t vocabulary_size = 0;    // V
  int64_t context_length = 0;
  double norm_epsilon = 0;
  double rope_base = 0;
  int64_t rope_size = 0;
  // "none"; "linear" with factor; "llama3" with all of the next four; "factors" with the list.
  std::string rope_scaling = "none";
  double rope_factor = 1;
  double rope_low_frequency_factor = 0;
  double rope_high_frequency_factor = 0;
  int64_t rope_original_context_length = 0;
  std::vector<float> rope_factors;  // [rope_size / 2] divisors of the frequencies
  bool tied_embeddings = false;
  Biases qkv_bias = Biases::kOptional;
  Biases attention_out_bias = Biases::kOptional;
  Biases feed_forward_bias = Biases::kOptional;

  // The "model" object of FORMAT.md, "Metadata".
  Json to_json() const;
};

// Throws Error(kInvalidFile) for numbers that no model can have: the sentence begins with `source`.
void check_config(const SourceConfig& config, const std::string& source);

// Every tensor the configuration asks for is there with its shape, once, and no other is.
void check_tensors(const SourceConfig& config, const std::vector<SourceTensor>& tensors,
                   const std::string& source);

// Throws Error(kUsage) unless rows [first, first + rows) are there to read.
void check_rows(const SourceTensor& tensor, int64_t first, int64_t rows);

}  // namespace mica
