#include "lib/runtime/plan_bytes.h"

#include <algorithm>

namespace mica {
namespace {

constexpr uint64_t kLoadingBytes = 2 * (uint64_t{32} << 20);  // placed_weights.cpp: two pieces

uint64_t logits_bytes(const PlanModel& model, int64_t rows) {
  return static_cast<uint64_t>(rows * model.config.vocabulary_size) * sizeof(float);
}

}  // namespace

PlanBytes& PlanBytes::operator+=(const PlanBytes& other) {
  weights += other.weights;
  kv += other.kv;
  activations += other.activations;
  logits += other.logits;
  workspace += other.workspace;
  ring += other.ring;
  staging += other.staging;
  return *this;
}

PipelineLimits pipeline_limits(const Placement& placement) {
  return {.step = {.tokens = placement.chunk, .logit_rows = 1, .context = placement.context},
          .streaming = {placement.streaming.from_tokens, placement.streaming.tokens}};
}

KvLayout kv_layout(const ModelConfig& config, KvType type) {
  return {.type = type, .kv_heads = config.kv_heads, .head_size = config.head_size};
}

PlanBytes step_bytes(const PlanModel& model, const PipelineLimits& limits, size_t index,
                     size_t parts, const WorkspaceBytes& workspace) {
  const DecoderLimits decoder = Pipeline::decoder_limits(limits, index, parts);
  PlanBytes bytes{.logits = aligned_run(logits_bytes(model, decoder.logit_rows))};
  bytes.activations = Decoder::scratch_bytes(model.config, model.traits, decoder) - bytes.logits;
  bytes.workspace = workspace(Decoder::step_limits(model.config, model.traits, decoder));
  return bytes;
}

uint64_t kv_bytes(const PlanModel& model, const Placement& placement, int64_t layers) {
  return KvPool::bytes_of(layers, kv_layout(model.config, placement.kv),
                          KvPool::blocks_for(placement.context));
}

uint64_t end_bytes(const PlanModel& model, bool is_first, bool is_last) {
  uint64_t bytes = is_first ? aligned_run(model.embedding.bytes) : 0;
  if (!is_last) return bytes;
  bytes += aligned_run(model.output_norm.bytes);
  const bool has_head = is_first && model.config.tied_embeddings;
  return has_head ? bytes : bytes + aligned_run(model.head.bytes);
}

uint64_t ring_bytes(const PlanModel& model, const Placement& placement, int64_t host_layers) {
  uint64_t largest = 0;
  for (int64_t i = 0; i < host_layers; ++i) largest = std::max(largest, model.layers[i].bytes);
  return LayerStream::slot_bytes(largest, kv_layout(model.config, placement.kv),
                                 KvPool::blocks_for(placement.context));
}

uint64_t part_weight_bytes(const PlanModel& model, const Placement& placement, size_t index) {
  const PlacedPart& part = placement.parts[index];
  uint64_t bytes = end_bytes(model, index == 0, index + 1 == placement.parts.size());
  for (int64_t i = part.first_layer; i < part.first_layer + part.layers; ++i)
    bytes += aligned_run(model.layers[i].bytes);
  return bytes;
}

PlanBytes part_bytes(const PlanModel& model, const Placement& placement, size_t index,
                     const WorkspaceBytes& workspace) {
  const PlacedPart& part = placement.parts[index];
  PlanBytes bytes =
      step_bytes(model, pipeline_limits(placement), index, placement.parts.size(), workspace);
  bytes.kv = kv_bytes(model, placement, part.layers);
  const bool is_streamed = placement.streaming.possible();
  if (part.device != kHostDevice || is_streamed)
    bytes.weights = part_weight_bytes(model, placement, index);
  if (is_streamed && index == 1)
    bytes.ring = ring_bytes(model, placement, placement.parts.front().layers);
  return bytes;
}

uint64_t staging_bytes(const PlanModel& model, const PipelineLimits& limits, size_t devices) {
  if (devices == 0) return 0;
  const uint64_t loading_and_logits = kLoadingBytes + logits_bytes(model, limits.step.logit_rows);
  if (devices == 1) return loading_and_logits;
  const int64_t tokens =
      std::max(limits.step.tokens, limits.streaming.possible() ? limits.streaming.tokens : 0);
  return loading_and_logits +
         static_cast<uint64_t>(tokens * model.config.hidden_size) * sizeof(float);
}

}  // namespace mica
