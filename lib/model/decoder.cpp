#include "lib/model/decoder.h"

#include <algorithm>
#include <cmath>

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

StepLimits step_limits(const ModelConfig& c, const DecoderLimits& limits) {
  const int64_t attention = c.heads * c.head_size;
  const int64_t widest = std::max({c.hidden_size, c.feed_forward_size, attention});
  return {.tokens = limits.tokens,
          .logit_rows = limits.logit_rows,
          .input_cols = widest,
          .output_rows = widest,
          .heads = c.heads,
          .head_size = c.head_size,
          .context = limits.context};
}

}  // namespace

Decoder::Decoder(Backend& backend, const ModelConfig& config, const ModelWeights& weights,
                 const DecoderLimits& limits)
    : backend_(backend),
      config_(config),
      weights_(weights),
      inverse_frequencies_(rope_inverse_frequencies(config.rope, limits.context)),
      memory_(backend.allocate(scratch_bytes(config, limits))) {
  reserved_bytes_ = place(scratch_, memory_->data(), config, limits) +
                    backend.reserve(step_limits(config, limits));
}

uint64_t Decoder::scratch_bytes(const ModelConfig& config, const DecoderLimits& limits) {
  Scratch measured;
  return place(measured, nullptr, config, limits);
}

uint64_t Decoder::place(Scratch& s, std::byte* base, const ModelConfig& c,
                        const DecoderLimits& limits) {
  Arena arena(base);
  const int64_t t = limits.tokens;
  s.x = arena.floats(t, c.hidden_size);
  s.q = arena.floats(t, c.heads, c.head_size);
  s.k = arena.floats(t, c.kv_heads, c.head_size);
  s.v = arena.floats(t, c.kv_heads, c.head_size);
  s.attention = arena.floats(t, c.heads, c.head_size);
  s.gated = arena.floats(t, c.feed_forward_size);
  s.cosine = arena.floats(t, c.rope.size / 2);
  s.sine = arena.floats(t, c.rope.size / 2);
  s.logits = arena.floats(limits.logit_rows, c.vocabulary_size);
  return arena.used();
}

Decoder::Scratch Decoder::first_rows(int64_t tokens) const {
  Scratch s = scratch_;
  for (View<float>* view : {&s.x, &s.q, &s.k, &s.v, &s.attention, &s.gated, &s.cosine, &s.sine}) {
    *view = view->first_rows(tokens);
  }
  return s;
}

bool Decoder::forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
                      const KvPool& kv, const CancelFlag* cancel) {
  const Scratch s = first_rows(std::ssize(ids));
  for (const BatchSegment& segment : segments) {
    for (int64_t i = 0; i < segment.tokens; ++i) {
      const int64_t row = segment.first_row + i;
      rope_angles(inverse_frequencies_, segment.first_position + i, config_.rope.attention_factor,
                  s.cosine.row(row), s.sine.row(row));
    }
  }
  backend_.embed({.ids = ids, .table = &weights_.embedding, .out = s.x});
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return false;
    run_layer(weights_.layers[i], s, segments, kv.layer(i));
  }
  return true;
}

void Decoder::run_layer(const LayerWeights& w, const Scratch& s,
                        std::span<const BatchSegment> segments, const KvLayer& kv) {
  const int64_t tokens = s.x.rows();
  const auto flat = [&](const View<float>& view) {  // [T, H, E] as [T, H * E]
    return View<float>(view.data(), tokens, view.row_size());
  };
  const Projection projections[] = {{.weight = &w.q, .bias = w.q_bias, .out = flat(s.q)},
                                    {.weight = &w.k, .bias = w.k_bias, .out = flat(s.k)},
                                    {.weight = &w.v, .bias = w.v_bias, .out = flat(s.v)}};
  backend_.norm_linear({.x = s.x,
                        .norm = {.weight = w.attn_norm, .epsilon = config_.norm_epsilon},
                        .projections = projections});
  backend_.rope_store_kv({.q = s.q,
                          .k = s.k,
                          .v = s.v,
                          .rope = {.cosine = s.cosine, .sine = s.sine},
                          .kv = kv,
                          .segments = segments});
  backend_.attention({.q = s.q,
                      .kv = kv,
                      .segments = segments,
                      .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_size)),
                      .out = s.attention});
  backend_.linear_add(
      {.x = flat(s.attention), .weight = &w.attn_out, .bias = w.attn_out_bias, .residual = s.x});
  backend_.gated_linear({.x = s.x,
                         .norm = {.weight = w.ffn_norm, .epsilon = config_.norm_epsilon},
                         .gate = &w.gate,
                         .up = &w.up,
                         .gate_bias = w.gate_bias,
                         .up_bias = w.up_bias,
                         .activation = config_.activation,
                         .out = s.gated});
  backend_.linear_add({.x = s.gated, .weight = &w.down, .bias = w.down_bias, .residual = s.x});
}

View<const float> Decoder::logits(std::span<const int32_t> rows) {
  const View<float> out = scratch_.logits.first_rows(std::ssize(rows));
  backend_.logits({.x = scratch_.x,
                   .rows = rows,
                   .norm = {.weight = weights_.output_norm, .epsilon = config_.norm_epsilon},
                   .head = &weights_.head,
                   .out = out});
  return out;
}

}  // namespace mica
