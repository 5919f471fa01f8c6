#include "backends/cpu/simd/simd_generic.h"
// The primitives come first.
#include "backends/cpu/kernels/table.h"

namespace mica::cpu::generic {

extern const Kernels kKernels;
constinit const Kernels kKernels = make_table("generic");

}  // namespace mica::cpu::generic
