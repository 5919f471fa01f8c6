// The forward pass: one plain loop over the layers, a handful of fused operations each, the same
// for every architecture and device.
//
// A Decoder owns the scratch memory of its steps, sized for its limits when it is made; steps never
// allocate device memory. One thread at a time. Backend, config and weights outlive it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/model/config.h"
#include "lib/model/kv_cache.h"
#include "lib/model/weights.h"

namespace mica {

// Set by another thread to end long work early.
using CancelFlag = std::atomic<bool>;

// Rows [first, first + count) of a step.
struct RowRange {
  int64_t first = 0;
  int64_t count = 0;
};

struct DecoderLimits {
  int64_t tokens = 0;      // T of a step
  int64_t logit_rows = 0;  // R of a call of logits()
  int64_t context = 0;     // positions of a sequence
};

class Decoder {
 public:
  Decoder(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
          const DecoderLimits& limits);

  static uint64_t scratch_bytes(const ModelConfig& config, const ModelWeights& weights,
                                const DecoderLimits& limits);
  // Memory that its steps may come to use: scratch_bytes and all that the backend holds, for others
  // too.
  uint64_t reserved_bytes() const { return reserved_bytes_; }

  // Runs ids [T] through all layers; their keys and values are stored in `kv` where `segments`,
  // which cover the rows in order, say. Ids are below V. Logits can be asked for `logit_rows`: what
  // others would need of the last layer besides keys and values is left out. Returns false when
  // `cancel` was set meanwhile: what the segments' positions hold is undefined then.
  bool forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
               const KvPool& kv, RowRange logit_rows, const CancelFlag* cancel = nullptr);

  // `observer` sees the residual stream [T, D] behind each layer of every later step; behind the
  // last one only logit_rows of it are whole.
  using Observer = std::function<void(int64_t layer, View<const float> x)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  // Logits after the given rows of the last forward, among its logit_rows, [R, V]; valid until the
  // next call.
  View<const float> logits(std::span<const int32_t> rows);

  // What the last forward left of its logit_rows, [T, D], before the output norm; valid until the
  // next call.
  View<const float> residual() const { return scratch_.x; }

 private:
  struct Scratch {
    View<float> x;          // [T, D] the residual stream
    View<float> q;          // [T, H, E]
    View<float> k;          // [T, K, E]
    View<float> v;          // [T, K, E]
    View<float> attention;  // [T, H, E]
    View<float> gated;      // [T, F]
    View<float> product;    // [T, D] what a block adds before its norm, where it has one
    View<float> cosine, window_cosine;  // [T, size / 2]
    View<float> sine, window_sine;      // [T, size / 2]
    View<float> logits;                 // [R, V]
  };
  static uint64_t place(Scratch& scratch, std::byte* base, const ModelConfig& config,
                        const ModelWeights& weights, const DecoderLimits& limits);
  // Rows of a step, whole segments or parts of them.
  struct Batch {
    Scratch s;
    std::span<const BatchSegment> segments;
  };
  Scratch slice(RowRange rows) const;
  void compute_angles(const Scratch& s, std::span<const BatchSegment> segments);
  void run_layer(int64_t layer, const Batch& batch, const Batch& wanted, const KvLayer& kv);
  void store_kv(int64_t layer, const Batch& batch, const KvLayer& kv);
  void attend(int64_t layer, const Batch& batch, const KvLayer& kv);
  void feed_forward(const LayerWeights& w, const Scratch& s);
  // The end of a block: what it adds to the residual stream.
  void add_product(View<const float> x, const Weight& weight, View<const float> bias,
                   const Norm& post_norm, const Scratch& s);

  Backend& backend_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  std::vector<float> frequencies_, window_frequencies_;  // of the rotation
  std::unique_ptr<DeviceBuffer> memory_;
  uint64_t reserved_bytes_;
  Scratch scratch_;
  Observer observer_;
};

}  // namespace mica
