#include "backends/cpu/simd/simd_avx512vnni.h"
#include "backends/cpu/simd/tiles_amx.h"
// The primitives come first.
#include "backends/cpu/kernels/matrix_products.h"

namespace mica::cpu::amx {

extern const MatrixKernels kKernels;
constinit const MatrixKernels kKernels = {multiply_in_tiles, kMatrixFewTokens};

}  // namespace mica::cpu::amx
