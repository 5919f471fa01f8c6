// Where layers go within budgets: the arithmetic under plan.h, for one shape of a placement (its
// context, kind of keys and values, chunk, streaming) at a time.
#pragma once

#include <vector>

#include "lib/runtime/plan.h"

namespace mica {

// Layers from the end of the model on devices.
struct PlanCut {
  std::vector<PlacedPart> parts;  // in order
  int64_t layers = 0;
};

class PlanSearch {
 public:
  // Borrows all of it; budgets of devices and host are those given here.
  PlanSearch(const PlanModel& model, const std::vector<PlanDevice>& devices, const PlanHost& host,
             bool copies_weights);

  // As many layers on devices as have room there, `most` at most; with the slots of streaming on
  // the first one. Devices that cannot hold one layer are left out.
  PlanCut cut(const Placement& shape, int64_t most) { return cut(shape, most, 0); }
  // Whether so many layers have room on devices, and the rest on the host.
  bool fits(const Placement& shape, int64_t layers);
  // Bytes that the host needs then.
  uint64_t host_bytes(const Placement& shape, int64_t layers);
  // The shape with its parts: `layers` on devices, the last ones in any case.
  Placement place(const Placement& shape, int64_t layers);

  int64_t layers() const { return std::ssize(model_.layers); }
  // Bytes of streaming on the device behind `host_layers` layers.
  uint64_t streaming_bytes(const Placement& shape, int64_t host_layers);

 private:
  // A decoder's and a backend's memory in one shape: within a model, and where it ends.
  struct StepCosts {
    int64_t context, chunk, streamed;
    std::vector<uint64_t> inner, last;  // of each device
    uint64_t host_inner, host_last;
  };
  const StepCosts& costs_of(const Placement& shape);
  // Without the layers.
  uint64_t fixed_bytes(const Placement& shape, int device, bool is_last);
  // Of layers [begin, end) with their keys and values.
  uint64_t run_bytes(int64_t begin, int64_t end, uint64_t kv) const {
    return sums_[end] - sums_[begin] + static_cast<uint64_t>(end - begin) * kv;
  }
  void make_room_for_slots(const Placement& shape, PlanCut& cut);
  // On devices from `first_device` on.
  PlanCut cut(const Placement& shape, int64_t most, int first_device);
  // All layers with the embedding before them, if they have room; else nothing.
  PlanCut whole(const Placement& shape);

  const PlanModel& model_;
  const std::vector<PlanDevice>& devices_;
  const PlanHost& host_;
  bool copies_weights_;
  std::vector<uint64_t> sums_;     // of aligned layers before each
  std::vector<uint64_t> largest_;  // layer before each
  std::vector<StepCosts> costs_;
};

}  // namespace mica
