#include "backends/cpu/simd/simd_avx512vnni.h"
// The primitives come first.
#include "backends/cpu/kernels/table.h"

namespace mica::cpu::avx512vnni {

extern const Kernels kKernels;
constinit const Kernels kKernels = make_table("avx512vnni");

}  // namespace mica::cpu::avx512vnni
