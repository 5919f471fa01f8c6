#include "lib/model/layer_stream.h"

#include <algorithm>

namespace mica {
namespace {

constexpr uint64_t kAlignment = 256;

uint64_t aligned(uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Blocks that hold positions [begin, end) of a segment's sequence.
std::span<const int32_t> blocks_of(const BatchSegment& segment, int64_t begin, int64_t end) {
  if (begin >= end) return {};
  const int64_t first = begin / kKvBlockTokens;
  return segment.blocks.subspan(first, KvPool::blocks_for(end) - first);
}

}  // namespace

LayerStream::LayerStream(Backend& device, const ModelWeights& host, LayerRange range,
                         const KvLayout& layout, int64_t blocks)
    : host_(host),
      range_(range),
      layout_(layout),
      memory_(device.allocate(slot_bytes(largest_layer(host, range), layout, blocks))),
      queue_(device.make_copy_queue()) {
  const uint64_t weights = aligned(largest_layer(host, range));
  const uint64_t each = weights + aligned(KvPool::bytes_of(1, layout, blocks));
  for (size_t i = 0; i < slots_.size(); ++i) {
    std::byte* base = memory_->data() + i * each;
    slots_[i] = {.weights = base, .kv = base + weights};
  }
}

uint64_t LayerStream::largest_layer(const ModelWeights& weights, LayerRange range) {
  uint64_t largest = 0;
  for (int64_t i = range.first; i < range.end(); ++i)
    largest = std::max<uint64_t>(largest, run_of(weights.layers[i]).size());
  return largest;
}

uint64_t LayerStream::slot_bytes(uint64_t largest_layer, const KvLayout& layout, int64_t blocks) {
  return 2 * (aligned(largest_layer) + aligned(KvPool::bytes_of(1, layout, blocks)));
}

bool LayerStream::run(Decoder& decoder, std::span<const BatchSegment> segments, const KvPool& kv,
                      const CancelFlag* cancel) {
  upload(range_.first, segments, kv);
  for (int64_t layer = range_.first; layer < range_.end(); ++layer) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) break;
    queue_->hold_operations();      // until this layer has come
    queue_->wait_for_operations();  // of the layer before: its slot is free, its results are there
    if (layer > range_.first) download(layer - 1, segments, kv);
    if (layer + 1 < range_.end()) upload(layer + 1, segments, kv);
    const LayerWeights& weights = host_.layers[layer];
    decoder.run_layer(
        layer,
        relocated(weights, run_of(weights), reinterpret_cast<uintptr_t>(slot(layer).weights)),
        device_kv(layer));
  }
  queue_->wait_for_operations();
  download(range_.end() - 1, segments, kv);
  queue_->synchronize();
  return cancel == nullptr || !cancel->load(std::memory_order_relaxed);
}

KvLayer LayerStream::device_kv(int64_t layer) const {
  return {.layout = layout_, .base = slot(layer).kv, .block_stride = layout_.block_bytes()};
}

// What a step reads of a layer: its weights, and the blocks of positions before the step.
void LayerStream::upload(int64_t layer, std::span<const BatchSegment> segments, const KvPool& kv) {
  const auto bytes = static_cast<size_t>(layout_.block_bytes());
  queue_->upload(run_of(host_.layers[layer]), slot(layer).weights);
  const KvLayer from = kv.layer(layer), to = device_kv(layer);
  for (const BatchSegment& segment : segments) {
    for (const int32_t block : blocks_of(segment, 0, segment.first_position))
      queue_->upload({from.keys(block, 0), bytes}, to.keys(block, 0));
  }
}

// What a step wrote of a layer.
void LayerStream::download(int64_t layer, std::span<const BatchSegment> segments,
                           const KvPool& kv) {
  const auto bytes = static_cast<size_t>(layout_.block_bytes());
  const KvLayer from = device_kv(layer), to = kv.layer(layer);
  for (const BatchSegment& segment : segments) {
    for (const int32_t block :
         blocks_of(segment, segment.first_position, segment.first_position + segment.tokens))
      queue_->download(from.keys(block, 0), {to.keys(block, 0), bytes});
  }
}

}  // namespace mica
