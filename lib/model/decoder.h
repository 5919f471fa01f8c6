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
  int64_t tokens = 0;        // T of a step
  int64_t layer_tokens = 0;  // that a layer works on together; 0: all of a step
  int64_t logit_rows = 0;    // R of a call of logits()
  int64_t context = 0;       // positions of a sequence
};

class Decoder {
 public:
  Decoder(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
          const DecoderLimits& limits);

  static uint64_t scratch_bytes(const ModelConfig& config, const WeightTraits& traits,
                                const DecoderLimits& limits);
  // What its steps ask of a backend.
  static StepLimits step_limits(const ModelConfig& config, const WeightTraits& traits,
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

  // The pieces of forward(), for models whose layers lie on several devices. begin() starts a step
  // of `tokens` rows; the segments' block tables must outlive it. Then the rows of residual() come
  // from embed(), or from elsewhere, and layers are run in order, with their own weights or others.
  void begin(int64_t tokens, std::span<const BatchSegment> segments, RowRange logit_rows);
  // Of rows [first_row, first_row + ids).
  void embed(std::span<const int32_t> ids, int64_t first_row);
  void run_layer(int64_t layer, const LayerWeights& weights, const KvLayer& kv);

  // `observer` sees the residual stream [T, D] behind each layer of every later step; behind the
  // last one only logit_rows of it are whole.
  using Observer = std::function<void(int64_t layer, View<const float> x)>;
  void observe(Observer observer) { observer_ = std::move(observer); }

  // Logits after the given rows of the last step, among its logit_rows, [R, V], in memory of the
  // host; valid until the next call.
  View<const float> logits(std::span<const int32_t> rows);

  // The residual stream, [T, D], in the backend's memory: what the last step left of its
  // logit_rows, before the output norm; valid until the next call.
  View<float> residual() const { return scratch_.x; }
  Backend& backend() const { return backend_; }

 private:
  struct Scratch {
    View<float> x;                      // [T, D] the residual stream
    View<float> cosine, window_cosine;  // [T, size / 2]
    View<float> sine, window_sine;      // [T, size / 2]
    // Of the tokens that a layer works on, t <= T:
    View<float> q;          // [t, H, E]
    View<float> k;          // [t, K, E]
    View<float> v;          // [t, K, E]
    View<float> attention;  // [t, H, E]
    View<float> gated;      // [t, F]
    View<float> product;    // [t, D] what a block adds before its norm, where it has one
    View<float> logits;     // [R, V]
  };
  static uint64_t place(Scratch& scratch, std::byte* base, const ModelConfig& config,
                        const WeightTraits& traits, const DecoderLimits& limits);
  // Rows of a step, whole segments or parts of them.
  struct Batch {
    Scratch s;
    std::vector<BatchSegment> segments;
  };
  // What a layer works on together, and those of its rows that logits are asked for.
  struct LayerStep {
    Batch all;
    Batch wanted;
  };
  Batch batch_of(std::span<const BatchSegment> segments, RowRange rows,
                 int64_t first_of_step) const;
  void compute_angles(std::span<const BatchSegment> segments);
  void show(int64_t layer);
  void store_kv(int64_t layer, const LayerWeights& w, const Batch& batch, const KvLayer& kv);
  void attend(int64_t layer, const Batch& batch, const KvLayer& kv);
  void feed_forward(const LayerWeights& w, const Scratch& s);
  // The end of a block: what it adds to the residual stream.
  void add_product(View<const float> x, const Weight& weight, View<const float> bias,
                   const Norm& post_norm, const Scratch& s);

  Backend& backend_;
  const ModelConfig& config_;
  const ModelWeights& weights_;
  int64_t layer_tokens_;
  std::vector<float> frequencies_, window_frequencies_;  // of the rotation
  std::unique_ptr<DeviceBuffer> memory_;
  uint64_t reserved_bytes_;
  Scratch scratch_;
  int64_t tokens_ = 0;  // of the step that was begun
  std::vector<LayerStep> steps_;
  std::vector<float> angles_;                  // [T, size / 2] on their way to a device
  std::unique_ptr<DeviceBuffer> host_logits_;  // [R, V] where a device's cannot be read in place
  Observer observer_;
};

}  // namespace mica
