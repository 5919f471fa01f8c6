// Finds and loads the BLAS module (blas/blas_module.h; lib/base/module_file.h says where).
//
// OpenBLAS chooses its kernels when it is loaded, and Debian's 0.3.21 can choose badly on
// processors newer than itself: an Emerald Rapids without AMX becomes a "Prescott" (76 instead of
// 414 GFLOPS). So OPENBLAS_CORETYPE is set from our own detection while it loads, unless the user
// has set it, and put back afterwards.
#pragma once

#include <string>

#include "backends/cpu/blas/blas_module.h"
#include "backends/cpu/isa.h"

namespace mica::cpu {

// The value of OPENBLAS_CORETYPE for a processor; empty: leave the choice to OpenBLAS.
std::string openblas_core_type(const CpuFeatures& cpu);

struct LoadedBlas {
  std::string path;
  const MicaBlas* functions = nullptr;
};

// Loads the module, which stays loaded until the process ends. Throws Error(kRuntime) naming the
// places searched or what is wrong with the module. Sets environment variables for a moment: no
// other thread of the process should read or write the environment meanwhile.
LoadedBlas load_blas(const CpuFeatures& cpu);

}  // namespace mica::cpu
