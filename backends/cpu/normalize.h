// The norm of one row by the kernel of its kind.
#pragma once

#include "backends/cpu/kernels/kernels.h"
#include "lib/backend/backend.h"

namespace mica::cpu {

// x, out: [size], which may be the same.
inline void normalize(const Kernels& kernels, const Norm& norm, const float* x, int64_t size,
                      float* out) {
  if (norm.kind == NormKind::kRms) {
    kernels.rms_norm(x, norm.weight.data(), size, norm.epsilon, out);
  } else {
    kernels.layer_norm(x, norm.weight.data(), norm.bias.data(), size, norm.epsilon, out);
  }
}

}  // namespace mica::cpu
