#include "lib/model/decoder.h"

#include <algorithm>

#include "lib/model/rope.h"

namespace mica {
namespace {

constexpr uint64_t kArenaAlignment = 256;

// Hands out aligned pieces of one block of memory; with a null base it only measures.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}

  View<float> floats(int64_t d0, int64_t d1, int64_t d2 = 1) {
    auto* data = base_ == nullptr ? nullptr : reinterpret_cast<float*>(base_ + used_);
    const View<float> view(data, d0, d1, d2);
    const uint64_t bytes = view.size() * sizeof(float);
    used_ += (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
    return view;
  }
  uint64_t used() const { return used_; }

 private:
  std::byte* base_;
  uint64_t used_ = 0;
};

View<float> flat(const View<float>& view) {  // [T, H, E] as [T, H * E]
  return {view.data(), view.rows(), view.row_size()};
}

// The parts of `segments` that lie in `rows`, which are then counted from 0.
std::vector<BatchSegment> clip(std::span<const BatchSegment> segments, RowRange rows) {
  std::vector<BatchSegment> clipped;
  for (const BatchSegment& s : segments) {
    const int64_t first = std::max(s.first_row, rows.first);
    const int64_t end = std::min(s.first_row + s.tokens, rows.first + rows.count);
    if (first >= end) continue;
    clipped.push_back({.first_row = first - rows.first,
                       .tokens = end - first,
                       .first_position = s.first_position + first - s.first_row,
                       .blocks = s.blocks});
  }
  return clipped;
}

StepLimits step_limits(const ModelConfig& c, const ModelWeights& weights,
                       const DecoderLimits& limits) {
  const int64_t attention = c.heads * c.head_size;
  const int64_t widest = std::max({c.hidden_size, c.feed_forward_size, attention});
  return {.tokens = limits.tokens,
          .logit_rows = limits.logit_rows,
          .input_cols = widest,
          .heads = c.heads,
          .head_size = c.head_size,
          .context = limits.context,
          .float_weights = weights.has_float_products()};
}

}  // namespace

Decoder::Decoder(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
                 const DecoderLimits& limits)
    : backend_(backend),
      config_(config),
      weights_(weights),
      frequencies_(rope_inverse_frequencies(config.rope, limits.context)),
      memory_(backend.allocate(scratch_bytes(config, weights, limits))) {
  if (config.window_rope) {
    window_frequencies_ = rope_inverse_frequencies(*config.window_rope, limits.context);
  }
  reserved_bytes_ = place(scratch_, memory_->data(), config, weights, limits) +
                    backend.reserve(step_limits(config, weights, limits));
}

uint64_t Decoder::scratch_bytes(const ModelConfig& config, const ModelWeights& weights,
                                const DecoderLimits& limits) {
  Scratch measured;
  return place(measured, nullptr, config, weights, limits);
}

uint64_t Decoder::place(Scratch& s, std::byte* base, const ModelConfig& c,
                        const ModelWeights& weights, const DecoderLimits& limits) {
  Arena arena(base);
  const int64_t t = limits.tokens;
  s.x = arena.floats(t, c.hidden_size);
  s.q = arena.floats(t, c.heads, c.head_size);
  s.k = arena.floats(t, c.kv_heads, c.head_size);
  s.v = arena.floats(t, c.kv_heads, c.head_size);
  s.attention = arena.floats(t, c.heads, c.head_size);
  s.gated = arena.floats(t, c.feed_forward_size);
  if (weights.has_post_norms()) s.product = arena.floats(t, c.hidden_size);
  s.cosine = arena.floats(t, c.rope.size / 2);
  s.sine = arena.floats(t, c.rope.size / 2);
  if (c.window_rope) {
    s.window_cosine = arena.floats(t, c.window_rope->size / 2);
    s.window_sine = arena.floats(t, c.window_rope->size / 2);
  }
  s.logits = arena.floats(limits.logit_rows, c.vocabulary_size);
  return arena.used();
}

Decoder::Scratch Decoder::slice(RowRange rows) const {
  Scratch s = scratch_;
  for (View<float>* view : {&s.x, &s.q, &s.k, &s.v, &s.attention, &s.gated, &s.product, &s.cosine,
                            &s.sine, &s.window_cosine, &s.window_sine}) {
    if (!view->empty()) *view = view->slice(rows.first, rows.count);
  }
  return s;
}

bool Decoder::forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
                      const KvPool& kv, RowRange logit_rows, const CancelFlag* cancel) {
  const Scratch s = slice({0, std::ssize(ids)});
  const Batch batch{s, segments};
  const std::vector<BatchSegment> last_segments = clip(segments, logit_rows);
  const Batch last{slice(logit_rows), last_segments};
  compute_angles(s, segments);
  backend_.embed(
      {.ids = ids, .table = &weights_.embedding, .scale = config_.embedding_scale, .out = s.x});
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return false;
    run_layer(i, batch, i + 1 < config_.layers ? batch : last, kv.layer(i));
    if (observer_) observer_(i, s.x);
  }
  return true;
}

void Decoder::compute_angles(const Scratch& s, std::span<const BatchSegment> segments) {
  for (const BatchSegment& segment : segments) {
    for (int64_t i = 0; i < segment.tokens; ++i) {
      const int64_t row = segment.first_row + i, position = segment.first_position + i;
      rope_angles(frequencies_, position, config_.rope.attention_factor, s.cosine.row(row),
                  s.sine.row(row));
      if (!config_.window_rope) continue;
      rope_angles(window_frequencies_, position, config_.window_rope->attention_factor,
                  s.window_cosine.row(row), s.window_sine.row(row));
    }
  }
}

// Keys and values of all rows, the rest for those wanted.
void Decoder::run_layer(int64_t layer, const Batch& batch, const Batch& wanted, const KvLayer& kv) {
  store_kv(layer, batch, kv);
  if (wanted.segments.empty()) return;
  const LayerWeights& w = weights_.layers[layer];
  const Scratch& s = wanted.s;
  attend(layer, wanted, kv);
  if (config_.parallel_residual) feed_forward(w, s);
  add_product(flat(s.attention), w.attn_out, w.attn_out_bias, w.attn_post_norm, s);
  if (!config_.parallel_residual) feed_forward(w, s);
  add_product(s.gated, w.down, w.down_bias, w.ffn_post_norm, s);
}

void Decoder::store_kv(int64_t layer, const Batch& batch, const KvLayer& kv) {
  const LayerWeights& w = weights_.layers[layer];
  const Scratch& s = batch.s;
  RopeTable rope;
  if (config_.rope_layers[layer]) {
    rope = config_.windowed_layers[layer] && config_.window_rope
               ? RopeTable{s.window_cosine, s.window_sine}
               : RopeTable{s.cosine, s.sine};
  }
  const Projection projections[] = {{.weight = &w.q, .bias = w.q_bias, .out = flat(s.q)},
                                    {.weight = &w.k, .bias = w.k_bias, .out = flat(s.k)},
                                    {.weight = &w.v, .bias = w.v_bias, .out = flat(s.v)}};
  backend_.norm_linear({.x = s.x, .norm = w.attn_norm, .projections = projections});
  backend_.rope_store_kv({.q = s.q,
                          .k = s.k,
                          .v = s.v,
                          .q_norm = w.q_norm,
                          .k_norm = w.k_norm,
                          .rope = rope,
                          .kv = kv,
                          .segments = batch.segments});
}

void Decoder::attend(int64_t layer, const Batch& batch, const KvLayer& kv) {
  backend_.attention({.q = batch.s.q,
                      .kv = kv,
                      .segments = batch.segments,
                      .scale = config_.attention_scale,
                      .softcap = config_.attention_softcap,
                      .window = config_.windowed_layers[layer] ? config_.window : INT64_MAX,
                      .out = batch.s.attention});
}

void Decoder::feed_forward(const LayerWeights& w, const Scratch& s) {
  backend_.gated_linear({.x = s.x,
                         .norm = w.ffn_norm,
                         .gate = w.gate.present() ? &w.gate : nullptr,
                         .up = &w.up,
                         .gate_bias = w.gate_bias,
                         .up_bias = w.up_bias,
                         .activation = config_.activation,
                         .out = s.gated});
}

void Decoder::add_product(View<const float> x, const Weight& weight, View<const float> bias,
                          const Norm& post_norm, const Scratch& s) {
  const float scale = config_.residual_scale;
  if (!post_norm.present()) {
    backend_.linear_add({.x = x, .weight = &weight, .bias = bias, .scale = scale, .residual = s.x});
    return;
  }
  const Projection product{.weight = &weight, .bias = bias, .out = s.product};
  backend_.norm_linear({.x = x, .norm = {}, .projections = {&product, 1}});
  backend_.norm_add({.x = s.product, .norm = post_norm, .scale = scale, .residual = s.x});
}

View<const float> Decoder::logits(std::span<const int32_t> rows) {
  const View<float> out = scratch_.logits.slice(0, std::ssize(rows));
  backend_.logits({.x = scratch_.x,
                   .rows = rows,
                   .norm = weights_.output_norm,
                   .head = &weights_.head,
                   .scale = config_.logits_scale,
                   .softcap = config_.logits_softcap,
                   .out = out});
  return out;
}

}  // namespace mica
