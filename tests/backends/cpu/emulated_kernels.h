// The algorithm of kernels/matrix_products.h over emulated tiles and generic lanes.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu::emulated {

extern const MatrixKernels kKernels;

}  // namespace mica::cpu::emulated
