#include "backends/cpu/blas/bf16_product.h"

namespace mica::cpu {

bool multiply_bf16(const MicaBlasProduct*) {
  return false;
}

}  // namespace mica::cpu
