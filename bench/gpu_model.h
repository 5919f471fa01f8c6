// A model of given shape with random weights in the memory of a device, run operation by operation:
// what a decoder does, without one.
#pragma once

#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/tensor/dtype.h"

namespace mica::bench {

struct ModelShape {
  std::string name;
  int64_t layers, hidden, heads, kv_heads, head_size, feed_forward, vocabulary;
};

class GpuModel {
 public:
  // Layers beyond `held` are run on the weights of others; positions: of the cache.
  GpuModel(Backend& backend, const ModelShape& shape, const DType& dtype, int64_t held,
           int64_t positions, int64_t step_tokens);

  // `tokens` tokens from `position` on, and the logits of the last one.
  void step(int64_t tokens, int64_t position);

  // All that was asked of the device, scratch of the operations included.
  uint64_t asked_bytes() const { return asked_bytes_; }
  // Weights that a step reads, of all layers and the head.
  uint64_t weight_bytes() const;
  // What one held layer and the head take.
  static uint64_t layer_bytes(const ModelShape& shape, const DType& dtype);
  static uint64_t head_bytes(const ModelShape& shape, const DType& dtype);

 private:
  struct Layer {
    std::unique_ptr<DeviceBuffer> memory, cache;
    Weight q, k, v, out, gate, up, down;
  };
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes);
  Weight make_weight(int64_t rows, int64_t cols, std::byte*& at);
  void run_layer(const Layer& layer, int64_t tokens, const BatchSegment& segment);
  View<float> rows_of(float* data, int64_t tokens, int64_t size) { return {data, tokens, size}; }

  Backend& backend_;
  ModelShape shape_;
  DType dtype_;
  KvLayout layout_;
  std::vector<Layer> layers_;
  std::unique_ptr<DeviceBuffer> head_memory_, scratch_;
  Weight head_;
  std::vector<int32_t> table_;
  float *x_, *q_, *k_, *v_, *attended_, *inner_, *logits_, *norm_, *cosine_, *sine_;
  std::vector<float> found_;
  uint64_t asked_bytes_ = 0;
};

// Random codes with plausible scales: a whole tensor's bytes.
std::vector<std::byte> random_panels(const DType& dtype, int64_t rows, int64_t cols, uint32_t seed);

}  // namespace mica::bench
