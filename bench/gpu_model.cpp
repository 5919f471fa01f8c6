#include "bench/gpu_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lib/base/half.h"

namespace mica::bench {

std::vector<std::byte> random_panels(const DType& dtype, int64_t rows, int64_t cols,
                                     uint32_t seed) {
  const auto stride = static_cast<int64_t>(slab_stride(dtype, cols, "bench"));
  std::vector<std::byte> bytes(tensor_bytes(dtype, rows, cols, "bench"));
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  const auto next = [&state] {  // xorshift64 (Marsaglia, 2003)
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
  };
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const uint64_t word = next() | (dtype.code_bits == 8 ? 0x0101010101010101u : 0);  // no code 0
    std::memcpy(&bytes[i], &word, 8);
  }
  // Weights of deviation 1 / sqrt(K) keep magnitudes as they are.
  const int64_t code_bytes = kPanelRows * cols * dtype.code_bits / 8;
  const int64_t constants = kPanelRows * cols / dtype.group;
  const float step = 1 / std::sqrt(static_cast<float>(cols)) / (dtype.code_bits == 8 ? 74 : 4.6f);
  for (int64_t slab = 0; slab < static_cast<int64_t>(bytes.size()); slab += stride) {
    std::byte* scales = &bytes[slab + code_bytes];
    std::byte* offsets = scales + 2 * constants;
    for (int64_t i = 0; i < constants; ++i) {
      const uint16_t scale = f32_to_f16(step), minimum = f32_to_f16(-7.5f * step);
      std::memcpy(scales + 2 * i, &scale, 2);
      if (dtype.offset_bytes == 1) offsets[i] = std::byte{60};
      if (dtype.offset_bytes == 2) std::memcpy(offsets + 2 * i, &minimum, 2);
    }
  }
  return bytes;
}

uint64_t GpuModel::layer_bytes(const ModelShape& shape, const DType& dtype) {
  const auto bytes = [&](int64_t rows, int64_t cols) {
    return tensor_bytes(dtype, rows, cols, "bench");
  };
  return bytes(shape.heads * shape.head_size, shape.hidden) +
         2 * bytes(shape.kv_heads * shape.head_size, shape.hidden) +
         bytes(shape.hidden, shape.heads * shape.head_size) +
         2 * bytes(shape.feed_forward, shape.hidden) + bytes(shape.hidden, shape.feed_forward);
}

uint64_t GpuModel::head_bytes(const ModelShape& shape, const DType& dtype) {
  return tensor_bytes(dtype, shape.vocabulary, shape.hidden, "bench");
}

std::unique_ptr<DeviceBuffer> GpuModel::allocate(uint64_t bytes) {
  asked_bytes_ += bytes;
  return backend_.allocate(bytes);
}

Weight GpuModel::make_weight(int64_t rows, int64_t cols, std::byte*& at) {
  const auto bytes = random_panels(dtype_, rows, cols, static_cast<uint32_t>(rows + cols));
  backend_.upload(bytes, at);
  const Weight weight{dtype_, rows, cols, at, slab_stride(dtype_, cols, "bench")};
  at += bytes.size();
  return weight;
}

GpuModel::GpuModel(Backend& backend, const ModelShape& shape, const DType& dtype, int64_t held,
                   int64_t positions, int64_t step_tokens)
    : backend_(backend),
      shape_(shape),
      dtype_(dtype),
      layout_{KvType::kF16, shape.kv_heads, shape.head_size},
      found_(shape.vocabulary) {
  const int64_t q_size = shape.heads * shape.head_size, kv_size = shape.kv_heads * shape.head_size;
  const int64_t blocks = (positions + kKvBlockTokens - 1) / kKvBlockTokens;
  table_.resize(blocks);
  std::iota(table_.begin(), table_.end(), 0);
  for (int64_t i = 0; i < std::min(held, shape.layers); ++i) {
    Layer& layer = layers_.emplace_back();
    layer.memory = allocate(layer_bytes(shape, dtype));
    layer.cache = allocate(blocks * layout_.block_bytes());
    std::byte* at = layer.memory->data();
    layer.q = make_weight(q_size, shape.hidden, at);
    layer.k = make_weight(kv_size, shape.hidden, at);
    layer.v = make_weight(kv_size, shape.hidden, at);
    layer.out = make_weight(shape.hidden, q_size, at);
    layer.gate = make_weight(shape.feed_forward, shape.hidden, at);
    layer.up = make_weight(shape.feed_forward, shape.hidden, at);
    layer.down = make_weight(shape.hidden, shape.feed_forward, at);
  }
  head_memory_ = allocate(head_bytes(shape, dtype));
  std::byte* at = head_memory_->data();
  head_ = make_weight(shape.vocabulary, shape.hidden, at);

  const int64_t half = shape.head_size / 2;
  const int64_t sizes[] = {step_tokens * shape.hidden, step_tokens * q_size,
                           step_tokens * kv_size,      step_tokens * kv_size,
                           step_tokens * q_size,       step_tokens * shape.feed_forward,
                           shape.vocabulary,           shape.hidden,
                           step_tokens * half,         step_tokens * half};
  float** const places[] = {&x_,     &q_,      &k_,    &v_,      &attended_,
                            &inner_, &logits_, &norm_, &cosine_, &sine_};
  int64_t total = 0;
  for (const int64_t size : sizes) total += (size + 63) / 64 * 64;
  scratch_ = allocate(total * 4);
  auto* next = reinterpret_cast<float*>(scratch_->data());
  for (size_t i = 0; i < std::size(sizes); ++i) {
    *places[i] = next;
    next += (sizes[i] + 63) / 64 * 64;
  }
  std::vector<float> ones(std::max(shape.hidden, step_tokens * half), 1.0f);
  const auto bytes_of = [&](int64_t count) { return std::as_bytes(std::span(ones).first(count)); };
  backend.upload(bytes_of(shape.hidden), reinterpret_cast<std::byte*>(norm_));
  backend.upload(bytes_of(step_tokens * half), reinterpret_cast<std::byte*>(cosine_));
  const uint64_t before = backend.reserve({});
  const uint64_t after =
      backend.reserve({.tokens = step_tokens,
                       .logit_rows = 1,
                       .input_cols = std::max({shape.hidden, shape.feed_forward, q_size}),
                       .output_rows = std::max({shape.hidden, shape.feed_forward, q_size}),
                       .heads = shape.heads,
                       .head_size = shape.head_size,
                       .context = positions});
  asked_bytes_ += after - before;
}

void GpuModel::run_layer(const Layer& layer, int64_t tokens, const BatchSegment& segment) {
  const Norm norm{.weight = {norm_, shape_.hidden}, .epsilon = 1e-5f};
  const View<float> x(x_, tokens, shape_.hidden);
  const View<float> q(q_, tokens, shape_.heads, shape_.head_size);
  const View<float> k(k_, tokens, shape_.kv_heads, shape_.head_size);
  const View<float> v(v_, tokens, shape_.kv_heads, shape_.head_size);
  const View<float> attended(attended_, tokens, shape_.heads, shape_.head_size);
  const View<float> inner(inner_, tokens, shape_.feed_forward);
  const KvLayer kv{layout_, layer.cache->data()};
  const Projection projections[] = {{&layer.q, {}, q}, {&layer.k, {}, k}, {&layer.v, {}, v}};
  backend_.norm_linear({.x = x, .norm = norm, .projections = projections});
  const int64_t half = shape_.head_size / 2;
  backend_.rope_store_kv({.q = q,
                          .k = k,
                          .v = v,
                          .rope = {{cosine_, tokens, half}, {sine_, tokens, half}},
                          .kv = kv,
                          .segments = {&segment, 1}});
  backend_.attention({.q = q,
                      .kv = kv,
                      .segments = {&segment, 1},
                      .scale = 1 / std::sqrt(static_cast<float>(shape_.head_size)),
                      .out = attended});
  backend_.linear_add({.x = {attended_, tokens, shape_.heads * shape_.head_size},
                       .weight = &layer.out,
                       .residual = x});
  backend_.gated_linear({.x = x, .norm = norm, .gate = &layer.gate, .up = &layer.up, .out = inner});
  backend_.linear_add({.x = inner, .weight = &layer.down, .residual = x});
}

void GpuModel::step(int64_t tokens, int64_t position) {
  const BatchSegment segment{0, tokens, position, table_};
  for (int64_t i = 0; i < shape_.layers; ++i) {
    run_layer(layers_[i % std::ssize(layers_)], tokens, segment);
  }
  const std::vector<int32_t> last = {static_cast<int32_t>(tokens - 1)};
  backend_.logits({.x = {x_, tokens, shape_.hidden},
                   .rows = last,
                   .norm = {.weight = {norm_, shape_.hidden}, .epsilon = 1e-5f},
                   .head = &head_,
                   .out = {logits_, 1, shape_.vocabulary}});
  backend_.download(reinterpret_cast<const std::byte*>(logits_),
                    std::as_writable_bytes(std::span(found_)));
}

uint64_t GpuModel::weight_bytes() const {
  return shape_.layers * layer_bytes(shape_, dtype_) + head_bytes(shape_, dtype_);
}

}  // namespace mica::bench
