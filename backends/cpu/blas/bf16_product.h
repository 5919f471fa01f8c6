// Products of bf16: by oneDNN on x86, none elsewhere.
#pragma once

#include "backends/cpu/blas/blas_module.h"

namespace mica::cpu {

// MicaBlas::multiply_bf16.
bool multiply_bf16(const MicaBlasProduct* product);

}  // namespace mica::cpu
