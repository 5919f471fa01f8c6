// Products of the backend: which kernel, in which launches. Inputs are prepared once for all
// matrices that share them.
#pragma once

#include <span>

#include "backends/cuda/driver.h"
#include "backends/cuda/gemm.h"
#include "backends/cuda/workspace.h"

namespace mica::cuda {

// What all operations of a backend share.
struct Session {
  Driver& driver;
  StreamHandle stream;
  Activations activations;
  Gemm* gemm;           // or null
  int64_t gemm_tokens;  // from which it is used; 0: never
  const Workspace& space;
};

struct Product {
  const Weight* weight = nullptr;
  End end;
};

struct ProductInput {
  const float* x = nullptr;       // [.., K]
  const int32_t* rows = nullptr;  // of x, [T], on the device; or null: all
  int64_t tokens = 0;
  NormArgs norm;
  bool two_parts = false;  // quant/README.md, "The head"
};

NormArgs norm_args(const Norm& norm);
Matrix matrix_of(const Weight& weight);

// All products of `input`, in order.
void multiply(const Session& session, const ProductInput& input, std::span<const Product> products);

}  // namespace mica::cuda
