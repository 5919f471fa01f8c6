// Exponential, hyperbolic tangent and what is made of them: activations and softcaps.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

constexpr float kLog2E = 1.44269504f;

// terms[0] x^(count - 1) + ... + terms[count - 1]
template <int kCount>
MICA_INLINE Floats polynomial(const float (&terms)[kCount], const Floats& x) {
  Floats p = splat<Floats>(terms[0]);
  for (int i = 1; i < kCount; ++i) p = multiply_add(p, x, splat<Floats>(terms[i]));
  return p;
}

// 2^x for x <= 127, with a relative error below 1.8e-7; 2^0 is exactly 1 and everything below
// -126.5, minus infinity and NaN included, gives exactly 0.
MICA_INLINE Floats exp2(const Floats& x) {
  const Floats bounded = max(x, splat<Floats>(-127.0f));
  const Floats n = bounded + splat<Floats>(kMagic) - splat<Floats>(kMagic);
  const Floats f = bounded - n;  // -0.5 .. 0.5
  // Minimax for the relative error, the constant term fixed at 1.
  constexpr float kTerms[] = {0.00132647273f, 0.00967151299f, 0.0555073358f,
                              0.240222424f,   0.693147004f,   1.0f};
  return multiply_by_power(polynomial(kTerms, f), n);
}

// x for small |x|, never above `cap`: cap * tanh(x / cap), with a relative error below 5e-7.
MICA_INLINE Floats soft_cap(const Floats& x, float cap) {
  // tanh(u) = t / (t + 2) with t = 2^y - 1, y = 2 log2(e) u; beyond 40 that is 1.
  const Floats y = x * splat<Floats>(2 * kLog2E / cap);
  const Floats size = min(splat<Floats>(40.0f), max(y, splat<Floats>(0.0f) - y));
  const Floats n = size + splat<Floats>(kMagic) - splat<Floats>(kMagic);
  const Floats f = size - n;  // -0.5 .. 0.5
  // (2^f - 1) / f, minimax for its relative error of 1.1e-8.
  constexpr float kTerms[] = {0.00015403514f, 0.0013390735f, 0.009618238f,
                              0.055503573f,   0.24022649f,   0.6931472f};
  const Floats power = multiply_by_power(splat<Floats>(1.0f), n);
  const Floats t = multiply_add(power, f * polynomial(kTerms, f), power - splat<Floats>(1.0f));
  const Floats capped = splat<Floats>(cap) * (t / (t + splat<Floats>(2.0f)));
  return as<Floats>(as<Ints>(capped) | (as<Ints>(x) & INT32_MIN));  // with the sign of x
}

// x / (1 + 2^power)
MICA_INLINE Floats divide_by_power(const Floats& x, const Floats& power) {
  return x / (splat<Floats>(1.0f) + exp2(min(power, splat<Floats>(127.0f))));
}

template <Activation kActivation>
MICA_INLINE Floats activate(const Floats& x) {
  if constexpr (kActivation == Activation::kSilu) {
    return divide_by_power(x, x * splat<Floats>(-kLog2E));
  } else if constexpr (kActivation == Activation::kGeluTanh) {
    // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)); 2 log2(e) sqrt(2 / pi) = 2.302208.
    const Floats inner =
        multiply_add(x * x, splat<Floats>(2.302208f * 0.044715f), splat<Floats>(2.302208f));
    return divide_by_power(x, splat<Floats>(0.0f) - x * inner);
  } else {
    // gelu(x) = max(x, 0) - |x| P(|x|), where P(a) = exp(-a^2 / 2) p(1 / (1 + 0.28 a)) is the
    // normal distribution's tail; p is minimax for an absolute error of the result below 3e-8.
    const Floats size = max(x, splat<Floats>(0.0f) - x);
    const Floats t =
        splat<Floats>(1.0f) / multiply_add(splat<Floats>(0.28f), size, splat<Floats>(1.0f));
    constexpr float kTerms[] = {-0.105692275f, 0.38940293f, -0.23623279f, 0.26829994f,
                                0.067739874f,  0.1164823f,  0.0f};
    const Floats tail = polynomial(kTerms, t) * exp2(x * x * splat<Floats>(-0.5f * kLog2E));
    return max(x, splat<Floats>(0.0f)) - size * tail;
  }
}

}  // namespace
}  // namespace mica::cpu
