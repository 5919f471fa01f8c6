// The matrix mathematics of quantization (quant/matrix_math.h) by OpenBLAS, in the module that the
// CPU backend loads too.
#pragma once

#include "quant/matrix_math.h"

namespace mica {

// Throws Error(kRuntime) where there is no module.
MatrixMath blas_math();

}  // namespace mica
