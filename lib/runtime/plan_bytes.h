// The memory of a placement's parts, to the byte: the arithmetic that both a plan and those who
// allocate use. It calls what sizes the real memory: Decoder, KvPool, LayerStream, Backend.
#pragma once

#include <cstdint>
#include <functional>

#include "lib/model/pipeline.h"
#include "lib/runtime/placement.h"
#include "lib/runtime/plan_model.h"

namespace mica {

// By kind.
struct PlanBytes {
  uint64_t weights = 0;      // allocated for them; mapped ones are not
  uint64_t kv = 0;           // keys and values of the whole context
  uint64_t activations = 0;  // a decoder's scratch memory but for the logits
  uint64_t logits = 0;
  uint64_t workspace = 0;  // of the backend
  uint64_t ring = 0;       // slots that the host's layers are streamed through
  uint64_t staging = 0;    // of the host: memory on the way to devices

  uint64_t total() const {
    return weights + kv + activations + logits + workspace + ring + staging;
  }
  PlanBytes& operator+=(const PlanBytes& other);
  bool operator==(const PlanBytes&) const = default;
};

// What a backend holds for steps of these limits: Backend::measure(). Grows with each of them.
using WorkspaceBytes = std::function<uint64_t(const StepLimits&)>;

constexpr uint64_t aligned_run(uint64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

PipelineLimits pipeline_limits(const Placement& placement);
KvLayout kv_layout(const ModelConfig& config, KvType type);

// The pieces of part_bytes().
PlanBytes step_bytes(const PlanModel& model, const PipelineLimits& limits, size_t index,
                     size_t parts, const WorkspaceBytes& workspace);
uint64_t kv_bytes(const PlanModel& model, const Placement& placement, int64_t layers);
// Of embedding, norm and head where the part is the first or the last one.
uint64_t end_bytes(const PlanModel& model, bool is_first, bool is_last);
// Slots for the largest of the first `host_layers` layers.
uint64_t ring_bytes(const PlanModel& model, const Placement& placement, int64_t host_layers);

// Of part `index`. A host part's weights count where streaming copies them to memory that a device
// reaches; otherwise they stay in the file's map.
PlanBytes part_bytes(const PlanModel& model, const Placement& placement, size_t index,
                     const WorkspaceBytes& workspace);
// Bytes of weights that part `index` uses, allocated or mapped.
uint64_t part_weight_bytes(const PlanModel& model, const Placement& placement, size_t index);

// Of the host when devices take part: two pieces that weights go through while they are loaded,
// logits on their way back and, with several devices, the residual stream between them.
uint64_t staging_bytes(const PlanModel& model, const PipelineLimits& limits, size_t devices);

}  // namespace mica
