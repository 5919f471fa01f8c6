// Layers of the host that a device computes for a prompt: their weights, keys and values go to the
// device and what was computed comes back, one layer after another, while the device works on the
// one before.
//
// Two slots, one for the layer at work and one for the next. Each holds a layer's weights as one
// run and its keys and values of all blocks of the pool. Copies go through a queue beside the
// device's operations; fences order both (backend.h). Weights in memory that the device reaches
// fast (Backend::allocate_host) are copied at the speed of the link. One thread at a time.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>

#include "lib/model/decoder.h"
#include "lib/model/kv_cache.h"
#include "lib/model/weights.h"

namespace mica {

// A run of layers.
struct LayerRange {
  int64_t first = 0;
  int64_t count = 0;
  int64_t end() const { return first + count; }
};

class LayerStream {
 public:
  // `host`: where the layers of `range` lie in the host's memory. Device, weights and layout
  // outlive it. Throws std::bad_alloc.
  LayerStream(Backend& device, const ModelWeights& host, LayerRange range, const KvLayout& layout,
              int64_t blocks);

  static uint64_t largest_layer(const ModelWeights& weights, LayerRange range);
  // Bytes of its slots on the device.
  static uint64_t slot_bytes(uint64_t largest_layer, const KvLayout& layout, int64_t blocks);

  // Runs the layers on the step that `decoder`, which is the device's, has begun. False when
  // `cancel` was set meanwhile.
  bool run(Decoder& decoder, std::span<const BatchSegment> segments, const KvPool& kv,
           const CancelFlag* cancel);

 private:
  struct Slot {
    std::byte* weights = nullptr;
    std::byte* kv = nullptr;
  };
  const Slot& slot(int64_t layer) const { return slots_[layer % 2]; }
  KvLayer device_kv(int64_t layer) const;
  void upload(int64_t layer, std::span<const BatchSegment> segments, const KvPool& kv);
  void download(int64_t layer, std::span<const BatchSegment> segments, const KvPool& kv);

  const ModelWeights& host_;
  LayerRange range_;
  KvLayout layout_;
  std::unique_ptr<DeviceBuffer> memory_;
  std::array<Slot, 2> slots_;
  std::unique_ptr<CopyQueue> queue_;
};

}  // namespace mica
