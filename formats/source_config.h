// What every importer finds out about a model, checked the same way whatever the source calls it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "lib/base/json.h"

namespace mica {

// Whether a model has some biases in every layer. kOptional: its tensors tell.
enum class Biases { kNever, kOptional, kAlways };

// Norms of queries and keys before rotation: of each head by itself, or of all heads together.
enum class QueryKeyNorm { kNone, kEachHead, kAllHeads };

// Rotary position embedding, as FORMAT.md, "Metadata" has it.
struct SourceRope {
  double base = 0;
  int64_t size = 0;                  // rotated channels of a head
  std::string scaling = "none";      // "linear", "llama3", "factors", "yarn", "dynamic", "longrope"
  double factor = 1;                 // linear, llama3, yarn, dynamic
  double low_frequency_factor = 0;   // llama3
  double high_frequency_factor = 0;  // llama3
  int64_t original_context_length = 0;  // llama3, yarn, dynamic, longrope
  double beta_fast = 32;                // yarn
  double beta_slow = 1;                 // yarn
  bool truncate = true;                 // yarn
  std::vector<double> factors;          // [size / 2] factors; longrope: the short ones
  std::vector<double> long_factors;     // [size / 2] longrope
  double attention_factor = 1;

  Json to_json() const;
  bool operator==(const SourceRope&) const = default;
};

// Defaults are those of a model of Llama's shape, and of the members that FORMAT.md leaves out.
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
  std::string activation = "silu";
  bool tied_embeddings = false;
  bool parallel_residual = false;
  double embedding_scale = 1;
  double residual_scale = 1;
  double logits_scale = 1;
  double attention_scale = 0;         // 0: 1 / sqrt(E)
  double attention_softcap = 0;       // 0: none
  double logits_softcap = 0;          // 0: none
  int64_t window = 0;                 // 0: none
  std::vector<bool> windowed_layers;  // empty: all where there is a window
  std::vector<bool> rope_layers;      // empty: all
  SourceRope rope;
  std::optional<SourceRope> window_rope;  // of windowed layers, where another

  // Which tensors there are.
  bool norm_biases = false;
  bool norms_before = true;  // attention and feed-forward
  bool norms_after = false;
  QueryKeyNorm query_key_norm = QueryKeyNorm::kNone;
  bool gated = true;  // feed-forward
  Biases qkv_bias = Biases::kNever;
  Biases attention_out_bias = Biases::kNever;
  Biases feed_forward_bias = Biases::kNever;

  // The "model" object of FORMAT.md, "Metadata".
  Json to_json() const;
};

// The window of `windowed_layers` (all where empty), unless it never shows: where the context is
// not longer than it and the layers do not have a rotary embedding of their own. 0: none.
void set_window(SourceConfig& config, int64_t window, std::vector<bool> windowed_layers = {});

// Throws Error(kInvalidFile) for a number of layers that no model can have.
void check_layer_count(int64_t layers, const std::string& source);

// Throws Error(kInvalidFile) for numbers that no model can have: the sentence begins with `source`.
void check_config(const SourceConfig& config, const std::string& source);

// Every tensor the configuration asks for is there with its shape, once, and no other is.
void check_tensors(const SourceConfig& config, const std::vector<SourceTensor>& tensors,
                   const std::string& source);

// Throws Error(kUsage) unless rows [first, first + rows) are there to read.
void check_rows(const SourceTensor& tensor, int64_t first, int64_t rows);

}  // namespace mica
