#include "lib/runtime/plan_model.h"

#include <algorithm>
#include <map>

#include "formats/mica_layout.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

using TypeCounts = std::map<std::string, double>;

std::string most_frequent(const TypeCounts& counts) {
  const auto most =
      std::max_element(counts.begin(), counts.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == counts.end() ? "" : most->first;
}

double numbers_of(const Weight& weight) {
  return static_cast<double>(weight.rows) * static_cast<double>(weight.cols);
}

void sum_parameters(PlanModel& model) {
  model.parameters = model.embedding.weights;
  if (!model.config.tied_embeddings) model.parameters += model.head.weights;
  for (const PlanPiece& layer : model.layers) model.parameters += layer.weights;
}

// A tensor behind those that its run has already.
void append(PlanPiece& piece, const TensorSpec& spec) {
  piece.bytes = checked_align_up(piece.bytes, kTensorAlignment, "plan") +
                tensor_bytes(spec.dtype, spec.rows, spec.cols, "plan");
  if (spec.rows > 1) piece.weights += static_cast<double>(spec.rows * spec.cols);
}

}  // namespace

uint64_t PlanModel::weight_bytes() const {
  uint64_t bytes = embedding.bytes + output_norm.bytes;
  if (!config.tied_embeddings) bytes += head.bytes;
  for (const PlanPiece& layer : layers) bytes += layer.bytes;
  return bytes;
}

uint64_t PlanModel::rule_of_thumb_bytes() const {
  return static_cast<uint64_t>(parameters * parse_dtype(weight_type).code_bits / 8 * 1.2);
}

PlanModel plan_model_of(const ModelConfig& config, const ModelWeights& weights) {
  PlanModel model{.config = config,
                  .traits = weights.traits,
                  .embedding = {run_of(weights.embedding).size(), numbers_of(weights.embedding)},
                  .output_norm = {run_of(weights.output_norm).size(), 0},
                  .head = {run_of(weights.head).size(), numbers_of(weights.head)}};
  TypeCounts types;
  for (const LayerWeights& w : weights.layers) {
    PlanPiece layer{.bytes = run_of(w).size()};
    for (const Weight* matrix : {&w.q, &w.k, &w.v, &w.attn_out, &w.gate, &w.up, &w.down}) {
      if (!matrix->present()) continue;
      layer.weights += numbers_of(*matrix);
      types[dtype_name(matrix->dtype)] += numbers_of(*matrix);
    }
    model.layers.push_back(layer);
  }
  model.weight_type = most_frequent(types);
  sum_parameters(model);
  return model;
}

PlanModel plan_model_of(const ModelConfig& config, const std::vector<TensorSpec>& specs) {
  PlanModel model{.config = config};
  model.layers.resize(static_cast<size_t>(config.layers));
  TypeCounts types;
  const MicaWriter writer("plan", specs, {});  // knows the order of a file
  for (const TensorSpec& spec : writer.specs()) {
    const bool is_float = spec.dtype.layout == TensorLayout::kRows;
    if (spec.layer != kNoLayer) {
      if (spec.layer >= config.layers) continue;
      append(model.layers[static_cast<size_t>(spec.layer)], spec);
      if (spec.rows == 1) {
        model.traits.post_norms |= spec.role == Role::kAttnPostNorm;
        continue;
      }
      types[dtype_name(spec.dtype)] += static_cast<double>(spec.rows * spec.cols);
      model.traits.float_products |= is_float;
    } else if (spec.role == Role::kTokenEmbedding) {
      append(model.embedding, spec);
      model.traits.float_products |= is_float && config.tied_embeddings;
    } else if (spec.role == Role::kHead) {
      append(model.head, spec);
      model.traits.float_products |= is_float;
    } else {
      append(model.output_norm, spec);
    }
  }
  if (config.tied_embeddings) model.head = model.embedding;
  model.weight_type = most_frequent(types);
  sum_parameters(model);
  return model;
}

}  // namespace mica
