// bf16 products by oneDNN, the one place that calls it.
#pragma once

#include "backends/cpu/blas/blas_module.h"

namespace mica::cpu {

// MicaBlas::multiply_bf16.
bool multiply_bf16(const MicaBlasProduct* product);

}  // namespace mica::cpu
