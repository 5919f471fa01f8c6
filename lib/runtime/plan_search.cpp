#include "lib/runtime/plan_search.h"

#include <algorithm>

namespace mica {

PlanSearch::PlanSearch(const PlanModel& model, const std::vector<PlanDevice>& devices,
                       const PlanHost& host, bool copies_weights)
    : model_(model), devices_(devices), host_(host), copies_weights_(copies_weights) {
  sums_.push_back(0);
  largest_.push_back(0);
  for (const PlanPiece& layer : model.layers) {
    sums_.push_back(sums_.back() + aligned_run(layer.bytes));
    largest_.push_back(std::max(largest_.back(), layer.bytes));
  }
}

const PlanSearch::StepCosts& PlanSearch::costs_of(const Placement& shape) {
  const int64_t streamed = shape.streaming.possible() ? shape.streaming.tokens : 0;
  for (const StepCosts& known : costs_) {
    if (known.context == shape.context && known.chunk == shape.chunk && known.streamed == streamed)
      return known;
  }
  StepCosts costs{.context = shape.context, .chunk = shape.chunk, .streamed = streamed};
  const PipelineLimits limits = pipeline_limits(shape);
  for (const PlanDevice& device : devices_) {
    costs.inner.push_back(step_bytes(model_, limits, 1, 3, device.workspace).total());
    costs.last.push_back(step_bytes(model_, limits, 1, 2, device.workspace).total());
  }
  costs.host_inner = step_bytes(model_, limits, 0, 2, host_.workspace).total();
  costs.host_last = step_bytes(model_, limits, 0, 1, host_.workspace).total();
  costs_.push_back(std::move(costs));
  return costs_.back();
}

uint64_t PlanSearch::fixed_bytes(const Placement& shape, int device, bool is_last) {
  const StepCosts& costs = costs_of(shape);
  return (is_last ? costs.last : costs.inner)[device] + end_bytes(model_, false, is_last);
}

uint64_t PlanSearch::streaming_bytes(const Placement& shape, int64_t host_layers) {
  return LayerStream::slot_bytes(largest_[host_layers], kv_layout(model_.config, shape.kv),
                                 KvPool::blocks_for(shape.context));
}

PlanCut PlanSearch::cut(const Placement& shape, int64_t most, int first_device) {
  const uint64_t kv = kv_bytes(model_, shape, 1);
  const int64_t least = layers() - std::min(most, layers());
  PlanCut cut;
  int64_t end = layers();
  for (int device = static_cast<int>(devices_.size()) - 1; device >= first_device && end > least;
       --device) {
    const uint64_t fixed = fixed_bytes(shape, device, end == layers());
    const uint64_t budget = devices_[device].budget_bytes;
    int64_t low = least, high = end;  // the smallest begin that has room
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      const bool has_room = fixed + run_bytes(middle, end, kv) <= budget;
      (has_room ? high : low) = has_room ? middle : middle + 1;
    }
    if (low == end) continue;
    cut.parts.push_back({.device = device, .first_layer = low, .layers = end - low});
    end = low;
  }
  std::reverse(cut.parts.begin(), cut.parts.end());
  if (shape.streaming.possible()) make_room_for_slots(shape, cut);
  for (const PlacedPart& part : cut.parts) cut.layers += part.layers;
  return cut;
}

// The first part is shortened, or else falls to the host and the next one is.
void PlanSearch::make_room_for_slots(const Placement& shape, PlanCut& cut) {
  const uint64_t kv = kv_bytes(model_, shape, 1);
  for (; !cut.parts.empty(); cut.parts.erase(cut.parts.begin())) {
    PlacedPart& part = cut.parts.front();
    const int64_t end = part.first_layer + part.layers;
    const uint64_t fixed = fixed_bytes(shape, part.device, end == layers());
    for (; part.layers > 0; ++part.first_layer, --part.layers) {
      const uint64_t bytes =
          fixed + run_bytes(part.first_layer, end, kv) + streaming_bytes(shape, part.first_layer);
      if (bytes <= devices_[part.device].budget_bytes) return;
    }
  }
}

// Some device has the embedding and at least one layer, those behind it the rest.
PlanCut PlanSearch::whole(const Placement& shape) {
  const uint64_t kv = kv_bytes(model_, shape, 1);
  for (int device = static_cast<int>(devices_.size()) - 1; device >= 0; --device) {
    PlanCut cut = this->cut(shape, layers() - 1, device + 1);
    const int64_t end = layers() - cut.layers;
    const bool is_last = cut.parts.empty();
    const uint64_t bytes = fixed_bytes(shape, device, is_last) - end_bytes(model_, false, is_last) +
                           end_bytes(model_, true, is_last) + run_bytes(0, end, kv);
    if (bytes > devices_[device].budget_bytes) continue;
    cut.parts.insert(cut.parts.begin(), {.device = device, .first_layer = 0, .layers = end});
    cut.layers = layers();
    return cut;
  }
  return {};
}

uint64_t PlanSearch::host_bytes(const Placement& shape, int64_t on_devices) {
  const StepCosts& costs = costs_of(shape);
  uint64_t bytes = copies_weights_ ? model_.weight_bytes() : 0;
  if (on_devices > 0) bytes += staging_bytes(model_, pipeline_limits(shape), devices_.size());
  if (on_devices == layers() && whole(shape).layers > 0) return bytes;
  const int64_t host_layers = layers() - on_devices;
  bytes += on_devices == 0 ? costs.host_last : costs.host_inner;
  bytes += kv_bytes(model_, shape, host_layers);
  if (shape.streaming.possible()) bytes += end_bytes(model_, true, false) + sums_[host_layers];
  return bytes;
}

bool PlanSearch::fits(const Placement& shape, int64_t on_devices) {
  return cut(shape, on_devices).layers == on_devices &&
         host_bytes(shape, on_devices) <= host_.budget_bytes;
}

Placement PlanSearch::place(const Placement& shape, int64_t on_devices) {
  Placement placement = shape;
  if (on_devices == layers()) placement.parts = whole(shape).parts;
  if (!placement.parts.empty()) return placement;
  PlanCut found = cut(shape, on_devices);
  if (found.layers < on_devices) {  // the rest goes to the first device, room or not
    const int64_t missing = on_devices - found.layers;
    if (found.parts.empty() || found.parts.front().device != 0) {
      found.parts.insert(found.parts.begin(),
                         {.device = 0, .first_layer = layers() - found.layers, .layers = 0});
    }
    found.parts.front().first_layer -= missing;
    found.parts.front().layers += missing;
  }
  const bool has_embedding = on_devices == layers() && found.parts.size() == 1 &&
                             end_bytes(model_, true, true) == end_bytes(model_, false, true);
  if (!has_embedding) {
    placement.parts.push_back(
        {.device = kHostDevice, .first_layer = 0, .layers = layers() - on_devices});
  }
  placement.parts.insert(placement.parts.end(), found.parts.begin(), found.parts.end());
  return placement;
}

}  // namespace mica
