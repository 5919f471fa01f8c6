// A model's weights, found in a file by role, each with its shape and dtype checked.
//
// Everything points into the mapped file, which must outlive it; nothing is read when binding.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/reader.h"
#include "lib/backend/backend.h"
#include "lib/model/architecture.h"
#include "lib/model/config.h"

namespace mica {

struct LayerWeights {
  Norm attn_norm;                   // [D], like all norms and biases empty where there is none
  Weight q;                         // [H * E, D]
  Weight k;                         // [K * E, D]
  Weight v;                         // [K * E, D]
  Weight attn_out;                  // [D, H * E]
  View<const float> q_bias;         // [H * E]
  View<const float> k_bias;         // [K * E]
  View<const float> v_bias;         // [K * E]
  View<const float> attn_out_bias;  // [D]
  Norm q_norm;                      // [E] or [H * E]
  Norm k_norm;                      // [E] or [K * E]
  Norm attn_post_norm;              // [D]

  Norm ffn_norm;                // [D]
  Weight gate;                  // [F, D]; absent in a plain feed-forward
  Weight up;                    // [F, D]
  Weight down;                  // [D, F]
  View<const float> gate_bias;  // [F]
  View<const float> up_bias;    // [F]
  View<const float> down_bias;  // [D]
  Norm ffn_post_norm;           // [D]
};

// What the size of a decoder's memory depends on besides the config.
struct WeightTraits {
  bool post_norms = false;      // norms behind the blocks
  bool float_products = false;  // a matrix that inputs are multiplied with is f32, f16 or bf16
};

struct ModelWeights {
  Weight embedding;  // [V, D]
  std::vector<LayerWeights> layers;
  Norm output_norm;     // [D]
  Weight head;          // [V, D]; the embedding when tied
  WeightTraits traits;  // of the whole model, also where this is a part of it
};

WeightTraits traits_of(const ModelWeights& weights);

// Weights that lie together in memory, as a segment does in a file.
using WeightRun = std::span<const std::byte>;

// From the first byte of a layer's tensors to the end of the last.
WeightRun run_of(const LayerWeights& weights);
WeightRun run_of(const Weight& weight);
WeightRun run_of(const Norm& norm);

// The same weights in a copy of `from` at address `to`, which may be a device's.
LayerWeights relocated(const LayerWeights& weights, WeightRun from, uintptr_t to);
Weight relocated(const Weight& weight, WeightRun from, uintptr_t to);
Norm relocated(const Norm& norm, WeightRun from, uintptr_t to);

// Throws Error(kInvalidFile) for a tensor that is missing, of another shape or dtype, or that the
// architecture has no use for.
ModelWeights bind_weights(const MicaFile& file, const ModelConfig& config,
                          const Architecture& architecture);

// Where a layer's tensors are found if not in a file: a weight without data where there is none.
using FindWeight = std::function<Weight(Role role, int layer)>;

// One layer's weights with the same checks; `name` begins the sentences.
LayerWeights bind_layer(const FindWeight& find, std::string_view name, const ModelConfig& config,
                        const Architecture& architecture, int layer);

}  // namespace mica
