// What follows a product: bias, residual sum, activation, gate, logits. One output at a time, each
// step one rounding as quant/README.md, "After the chain", says.
#pragma once

#include "backends/cuda/kernels/args.h"

namespace mica::cuda {

constexpr float kLog2e = 1.44269504088896340736f;

MICA_DEVICE float activate(float x, Act activation) {
  if (activation == Act::kGelu)
    return mul_rn(mul_rn(0.5f, x), add_rn(1, er_f(mul_rn(x, 0.70710678118654752f))));
  float argument = x;
  if (activation == Act::kGeluTanh) {
    const float inner = fma_rn(mul_rn(mul_rn(x, x), x), 0.044715f, x);
    argument = mul_rn(1.5957691216057308f, inner);  // 2 sqrt(2 / pi)
  }
  return div_rn(x, add_rn(1, exp_2(mul_rn(argument, -kLog2e))));
}

MICA_DEVICE float soft_cap(float x, float cap) {
  return cap == 0 ? x : mul_rn(cap, tan_h(div_rn(x, cap)));
}

// The product y of token t and output n.
MICA_DEVICE void finish(const End& end, int64_t t, int64_t n, float y) {
  if (end.bias) y = add_rn(y, end.bias[n]);
  float* out = end.out + t * end.stride + n;
  switch (end.kind) {
    case EndKind::kStore:
      *out = y;
      return;
    case EndKind::kAdd:
      *out = fma_rn(end.scale, y, *out);
      return;
    case EndKind::kActivate:
      *out = activate(y, end.activation);
      return;
    case EndKind::kGate:
      *out = mul_rn(activate(*out, end.activation), y);
      return;
    case EndKind::kSecondPart:
      y = add_rn(*out, y);
      [[fallthrough]];
    case EndKind::kLogits:
      *out = soft_cap(mul_rn(y, end.scale), end.softcap);
      return;
  }
}

}  // namespace mica::cuda
