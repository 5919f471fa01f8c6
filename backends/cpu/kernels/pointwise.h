// Norms, rotation and the ends of products: one pass over rows of floats.
#pragma once

#include "backends/cpu/kernels/curves.h"

namespace mica::cpu {
namespace {

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

void layer_norm(const float* x, const float* weight, const float* bias, int64_t cols, float epsilon,
                float* out) {
  Floats total{};
  for_lanes(cols, [&](int64_t i, int count) { total = total + load_up_to(x + i, count); });
  const Floats mean = splat<Floats>(sum(total) / static_cast<float>(cols));
  for_lanes(cols, [&](int64_t i, int count) {
    store_up_to(out + i, count, load_up_to(x + i, count) - mean);
  });
  rms_norm(out, weight, cols, epsilon, out);
  if (bias == nullptr) return;
  for_lanes(cols, [&](int64_t i, int count) {
    store_up_to(out + i, count, load_up_to(out + i, count) + load_up_to(bias + i, count));
  });
}

MICA_INLINE Floats plus_bias(const float* y, const float* bias, int64_t i, int count) {
  const Floats v = load_up_to(y + i, count);
  return bias ? v + load_up_to(bias + i, count) : v;
}

// Calls f(t, i, count) for all of a block of products, 16 lanes at a time.
template <class F>
MICA_INLINE void for_products(const Finish& finish, F f) {
  for (int64_t t = 0; t < finish.tokens; ++t) {
    for_lanes(finish.count, [&](int64_t i, int count) { f(t, i, count); });
  }
}

void store_products(const Finish& finish) {
  for_products(finish, [&](int64_t t, int64_t i, int count) {
    Floats v = plus_bias(finish.y.data + t * finish.y.stride, finish.bias, i, count);
    if (finish.scale != 1) v = v * splat<Floats>(finish.scale);
    if (finish.softcap != 0) v = soft_cap(v, finish.softcap);
    store_up_to(finish.out.data + t * finish.out.stride + i, count, v);
  });
}

void add_products(const Finish& finish) {
  for_products(finish, [&](int64_t t, int64_t i, int count) {
    float* out = finish.out.data + t * finish.out.stride + i;
    const Floats v = plus_bias(finish.y.data + t * finish.y.stride, finish.bias, i, count);
    const Floats old = load_up_to(out, count);
    const bool plain = finish.scale == 1;
    store_up_to(out, count, plain ? old + v : fma(v, splat<Floats>(finish.scale), old));
  });
}

template <Activation kActivation>
void activate_in(const Finish& finish) {
  for_products(finish, [&](int64_t t, int64_t i, int count) {
    Floats v = activate<kActivation>(
        plus_bias(finish.y.data + t * finish.y.stride, finish.bias, i, count));
    if (finish.up.data) {
      v = v * plus_bias(finish.up.data + t * finish.up.stride, finish.up_bias, i, count);
    }
    store_up_to(finish.out.data + t * finish.out.stride + i, count, v);
  });
}

void activate_products(const Finish& finish) {
  switch (finish.activation) {
    case Activation::kSilu:
      return activate_in<Activation::kSilu>(finish);
    case Activation::kGelu:
      return activate_in<Activation::kGelu>(finish);
    case Activation::kGeluTanh:
      return activate_in<Activation::kGeluTanh>(finish);
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
