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

int64_t layer_tokens_of(const DecoderLimits& limits) {
  return limits.layer_tokens == 0 ? limits.tokens : std::min(limits.layer_tokens, limits.tokens);
}

std::byte* bytes_of(View<float> view) {
  return reinterpret_cast<std::byte*>(view.data());
}

RowRange common(RowRange a, RowRange b) {
  const int64_t first = std::max(a.first, b.first);
  const int64_t end = std::min(a.first + a.count, b.first + b.count);
  return {.first = first, .count = std::max<int64_t>(0, end - first)};
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

}  // namespace

StepLimits Decoder::step_limits(const ModelConfig& c, const WeightTraits& traits,
                                const DecoderLimits& limits) {
  const int64_t attention = c.heads * c.head_size;
  return {.tokens = layer_tokens_of(limits),
          .logit_rows = limits.logit_rows,
          .input_cols = std::max({c.hidden_size, c.feed_forward_size, attention}),
          .output_rows = std::max({c.hidden_size, c.feed_forward_size, attention}),
          .heads = c.heads,
          .head_size = c.head_size,
          .context = limits.context,
          .float_weights = traits.float_products};
}

Decoder::Decoder(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
                 const DecoderLimits& limits)
    : backend_(backend),
      config_(config),
      weights_(weights),
      layer_tokens_(layer_tokens_of(limits)),
      frequencies_(rope_inverse_frequencies(config.rope, limits.context)),
      memory_(backend.allocate(scratch_bytes(config, weights.traits, limits))) {
  if (config.window_rope) {
    window_frequencies_ = rope_inverse_frequencies(*config.window_rope, limits.context);
  }
  const WeightTraits traits = weights.traits;
  reserved_bytes_ = place(scratch_, memory_->data(), config, traits, limits) +
                    backend.reserve(step_limits(config, traits, limits));
  if (!backend.is_host() && limits.logit_rows > 0)
    host_logits_ = backend.allocate_host(scratch_.logits.size() * sizeof(float));
}

uint64_t Decoder::scratch_bytes(const ModelConfig& config, const WeightTraits& traits,
                                const DecoderLimits& limits) {
  Scratch measured;
  return place(measured, nullptr, config, traits, limits);
}

uint64_t Decoder::place(Scratch& s, std::byte* base, const ModelConfig& c,
                        const WeightTraits& traits, const DecoderLimits& limits) {
  Arena arena(base);
  const int64_t rows = limits.tokens, t = layer_tokens_of(limits);
  s.x = arena.floats(rows, c.hidden_size);
  s.q = arena.floats(t, c.heads, c.head_size);
  s.k = arena.floats(t, c.kv_heads, c.head_size);
  s.v = arena.floats(t, c.kv_heads, c.head_size);
  s.attention = arena.floats(t, c.heads, c.head_size);
  s.gated = arena.floats(t, c.feed_forward_size);
  if (traits.post_norms) s.product = arena.floats(t, c.hidden_size);
  s.cosine = arena.floats(rows, c.rope.size / 2);
  s.sine = arena.floats(rows, c.rope.size / 2);
  if (c.window_rope) {
    s.window_cosine = arena.floats(rows, c.window_rope->size / 2);
    s.window_sine = arena.floats(rows, c.window_rope->size / 2);
  }
  s.logits = arena.floats(limits.logit_rows, c.vocabulary_size);
  return arena.used();
}

bool Decoder::forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
                      const KvPool& kv, RowRange logit_rows, const CancelFlag* cancel) {
  begin(std::ssize(ids), segments, logit_rows);
  embed(ids, 0);
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return false;
    run_layer(i, weights_.layers[i], kv.layer(i));
  }
  return true;
}

void Decoder::begin(int64_t tokens, std::span<const BatchSegment> segments, RowRange logit_rows) {
  tokens_ = tokens;
  compute_angles(segments);
  steps_.clear();
  for (int64_t first = 0; first < tokens; first += layer_tokens_) {
    const RowRange rows{first, std::min(layer_tokens_, tokens - first)};
    steps_.push_back({.all = batch_of(segments, rows, first),
                      .wanted = batch_of(segments, common(rows, logit_rows), first)});
  }
}

// Rows of the residual stream and the angles, and of all else those from `first_of_step` on.
Decoder::Batch Decoder::batch_of(std::span<const BatchSegment> segments, RowRange rows,
                                 int64_t first_of_step) const {
  Batch batch{.s = scratch_, .segments = clip(segments, rows)};
  Scratch& s = batch.s;
  const auto slice = [&](View<float>& view, int64_t first) {
    if (!view.empty()) view = view.slice(first, rows.count);
  };
  for (View<float>* view : {&s.x, &s.cosine, &s.sine, &s.window_cosine, &s.window_sine})
    slice(*view, rows.first);
  for (View<float>* view : {&s.q, &s.k, &s.v, &s.attention, &s.gated, &s.product})
    slice(*view, rows.first - first_of_step);
  return batch;
}

void Decoder::embed(std::span<const int32_t> ids, int64_t first_row) {
  backend_.embed({.ids = ids,
                  .table = &weights_.embedding,
                  .scale = config_.embedding_scale,
                  .out = scratch_.x.slice(first_row, std::ssize(ids))});
}

void Decoder::compute_angles(std::span<const BatchSegment> segments) {
  const auto fill = [&](const RopeConfig& rope, const std::vector<float>& frequencies,
                        View<float> cosine, View<float> sine) {
    if (cosine.empty()) return;
    const int64_t pairs = cosine.row_size();
    float *cosines = cosine.data(), *sines = sine.data();
    if (!backend_.is_host()) {
      angles_.resize(static_cast<size_t>(2 * tokens_ * pairs));
      cosines = angles_.data(), sines = cosines + tokens_ * pairs;
    }
    for (const BatchSegment& segment : segments) {
      for (int64_t i = 0; i < segment.tokens; ++i) {
        const int64_t row = segment.first_row + i;
        rope_angles(frequencies, segment.first_position + i, rope.attention_factor,
                    cosines + row * pairs, sines + row * pairs);
      }
    }
    if (backend_.is_host()) return;
    const auto count = static_cast<size_t>(tokens_ * pairs);
    backend_.upload(std::as_bytes(std::span(cosines, count)), bytes_of(cosine));
    backend_.upload(std::as_bytes(std::span(sines, count)), bytes_of(sine));
  };
  fill(config_.rope, frequencies_, scratch_.cosine, scratch_.sine);
  if (config_.window_rope) {
    fill(*config_.window_rope, window_frequencies_, scratch_.window_cosine, scratch_.window_sine);
  }
}

// Keys and values of all rows; the rest of the last layer for those wanted.
void Decoder::run_layer(int64_t layer, const LayerWeights& w, const KvLayer& kv) {
  const bool is_last = layer + 1 == config_.layers;
  for (const LayerStep& step : steps_) {
    store_kv(layer, w, step.all, kv);
    const Batch& batch = is_last ? step.wanted : step.all;
    if (batch.segments.empty()) continue;
    const Scratch& s = batch.s;
    attend(layer, batch, kv);
    if (config_.parallel_residual) feed_forward(w, s);
    add_product(flat(s.attention), w.attn_out, w.attn_out_bias, w.attn_post_norm, s);
    if (!config_.parallel_residual) feed_forward(w, s);
    add_product(s.gated, w.down, w.down_bias, w.ffn_post_norm, s);
  }
  if (observer_) show(layer);
}

void Decoder::show(int64_t layer) {
  const View<float> x = scratch_.x.slice(0, tokens_);
  if (backend_.is_host()) return observer_(layer, x);
  std::vector<float> copy(static_cast<size_t>(x.size()));
  backend_.download(bytes_of(x), std::as_writable_bytes(std::span(copy)));
  observer_(layer, {copy.data(), x.rows(), x.row_size()});
}

void Decoder::store_kv(int64_t layer, const LayerWeights& w, const Batch& batch,
                       const KvLayer& kv) {
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
  if (backend_.is_host()) return out;
  const std::span<std::byte> host(host_logits_->data(), out.size() * sizeof(float));
  backend_.download(bytes_of(out), host);
  return {reinterpret_cast<const float*>(host.data()), out.rows(), out.row_size()};
}

}  // namespace mica
