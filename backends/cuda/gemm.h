// Products of bf16 matrices for prefill: cuBLASLt, found at run time (gemm_cublaslt.cpp), or in the
// host build plain loops in its place (gemm_host.cpp).
#pragma once

#include <cstdint>
#include <memory>

#include "backends/cuda/driver.h"

namespace mica::cuda {

struct GemmShape {
  int64_t tokens = 0;  // T
  int64_t rows = 0;    // N
  int64_t cols = 0;    // K
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  // nullptr where there is none.
  static std::unique_ptr<Gemm> load(Driver& driver);

  // Scratch that multiply() is given.
  virtual uint64_t workspace_bytes() const = 0;
  // out = x * weights^T with float sums; x [T, K], weights [N, K], out [T, N]. False where the
  // library refuses, and nothing was done.
  virtual bool multiply(const GemmShape& shape, const uint16_t* x, const uint16_t* weights,
                        float* out, std::byte* workspace, StreamHandle stream) = 0;
};

}  // namespace mica::cuda
