#include "backends/cpu/simd/simd_avxvnni.h"
// The primitives come first.
#include "backends/cpu/kernels/table.h"

namespace mica::cpu::avxvnni {

extern const Kernels kKernels;
constinit const Kernels kKernels = make_table("avxvnni");

}  // namespace mica::cpu::avxvnni
