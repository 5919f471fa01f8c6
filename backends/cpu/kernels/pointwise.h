// Norm, activation functions, rotation and the ends of products: one pass over rows of floats.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

// 2^x for x <= 127, with a relative error below 1.8e-7; 2^0 is exactly 1 and everything below
// -126.5, minus infinity and NaN included, gives exactly 0.
MICA_INLINE Floats exp2(const Floats& x) {
  const Floats bounded = max(x, splat<Floats>(-127.0f));
  const Floats n = bounded + splat<Floats>(kMagic) - splat<Floats>(kMagic);
  const Floats f = bounded - n;  // -0.5 .. 0.5
  // Minimax for the relative error, the constant term fixed at 1.
  constexpr float kTerms[] = {0.00132647273f, 0.00967151299f, 0.0555073358f,
                              0.240222424f,   0.693147004f,   1.0f};
  Floats p = splat<Floats>(kTerms[0]);
  for (int i = 1; i < 6; ++i) p = multiply_add(p, f, splat<Floats>(kTerms[i]));
  return multiply_by_power(p, n);
}

constexpr float kLog2E = 1.44269504f;

MICA_INLINE Floats silu(const Floats& x) {
  const Floats power = min(x * splat<Floats>(-kLog2E), splat<Floats>(127.0f));
  return x / (splat<Floats>(1.0f) + exp2(power));
}

// Calls f(begin, count) for 16 lanes at a time, the last time for fewer.
template <class F>
MICA_INLINE void for_lanes(int64_t size, F f) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) f(i, kLanes);
  if (i < size) f(i, static_cast<int>(size - i));
}
MICA_INLINE Floats load_up_to(const float* from, int count) {
  return count == kLanes ? load<Floats>(from) : load_first<Floats>(from, count);
}
MICA_INLINE void store_up_to(float* to, int count, const Floats& v) {
  if (count == kLanes) return store(to, v);
  store_first(to, count, v);
}

void rms_norm(const float* x, const float* weight, int64_t cols, float epsilon, float* out) {
  Floats squares{};
  for_lanes(cols, [&](int64_t i, int count) {
    const Floats v = load_up_to(x + i, count);
    squares = multiply_add(v, v, squares);
  });
  const float mean = sum(squares) / static_cast<float>(cols);
  const Floats factor = splat<Floats>(1.0f / __builtin_sqrtf(mean + epsilon));
  for_lanes(cols, [&](int64_t i, int count) {
    const Floats v = load_up_to(x + i, count) * factor * load_up_to(weight + i, count);
    store_up_to(out + i, count, v);
  });
}

MICA_INLINE Floats plus_bias(const float* y, const float* bias, int64_t i, int count) {
  const Floats v = load_up_to(y + i, count);
  return bias ? v + load_up_to(bias + i, count) : v;
}

void store_products(const Finish& finish) {
  for (int64_t t = 0; t < finish.tokens; ++t) {
    const float* y = finish.y.data + t * finish.y.stride;
    float* out = finish.out.data + t * finish.out.stride;
    for_lanes(finish.count, [&](int64_t i, int count) {
      store_up_to(out + i, count, plus_bias(y, finish.bias, i, count));
    });
  }
}

void add_products(const Finish& finish) {
  for (int64_t t = 0; t < finish.tokens; ++t) {
    const float* y = finish.y.data + t * finish.y.stride;
    float* out = finish.out.data + t * finish.out.stride;
    for_lanes(finish.count, [&](int64_t i, int count) {
      const Floats v = load_up_to(out + i, count) + plus_bias(y, finish.bias, i, count);
      store_up_to(out + i, count, v);
    });
  }
}

void gate_products(const Finish& finish) {
  for (int64_t t = 0; t < finish.tokens; ++t) {
    const float* gate = finish.y.data + t * finish.y.stride;
    const float* up = finish.up.data + t * finish.up.stride;
    float* out = finish.out.data + t * finish.out.stride;
    for_lanes(finish.count, [&](int64_t i, int count) {
      const Floats v =
          silu(plus_bias(gate, finish.bias, i, count)) * plus_bias(up, finish.up_bias, i, count);
      store_up_to(out + i, count, v);
    });
  }
}

void rotate(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine,
            int64_t pairs) {
  for (int64_t h = 0; h < heads; ++h, x += head_size) {
    for_lanes(pairs, [&](int64_t i, int count) {
      const Floats a = load_up_to(x + i, count), b = load_up_to(x + pairs + i, count);
      const Floats c = load_up_to(cosine + i, count), s = load_up_to(sine + i, count);
      store_up_to(x + i, count, a * c - b * s);
      store_up_to(x + pairs + i, count, b * c + a * s);
    });
  }
}

}  // namespace
}  // namespace mica::cpu
