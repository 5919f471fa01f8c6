#include "backends/cpu/simd/simd_avx2.h"
// The primitives come first.
#include "backends/cpu/kernels/table.h"

namespace mica::cpu::avx2 {

extern const Kernels kKernels;
constinit const Kernels kKernels = make_table("avx2");

}  // namespace mica::cpu::avx2
