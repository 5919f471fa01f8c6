#include "backends/cpu/simd/simd_neon.h"
// The primitives come first.
#include "backends/cpu/kernels/table.h"

namespace mica::cpu::neon {

extern const Kernels kKernels;
constinit const Kernels kKernels = make_table("neon");

}  // namespace mica::cpu::neon
