// Where the toolkit has no header of cuBLASLt.
#include "backends/cuda/gemm.h"

namespace mica::cuda {

std::unique_ptr<Gemm> Gemm::load(Driver&) {
  return nullptr;
}

}  // namespace mica::cuda
