// The operations of lib/backend/backend.h on one GPU, or in the host build on fibers. All
// operations of a backend are in the order of one stream; a CopyQueue has another.
#pragma once

#include <memory>

#include "lib/backend/backend.h"

namespace mica::cuda {

struct CudaOptions {
  int device = 0;
  Activations activations = Activations::kInt8;
  // Steps of so many tokens multiply bf16 by cuBLASLt where it is found, which is fast and not
  // exact (quant/README.md); 0: never. MICA_CUDA_GEMM_TOKENS overrides it.
  int64_t gemm_tokens = 512;
};

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options);

}  // namespace mica::cuda
