// The CPU backend: kernels for several instruction sets, chosen by name or by what the machine has.
//
// It runs on the threads of the pool it is given (borrowed: the pool outlives it). Results of
// models with q4 and q8 weights do not depend on the number of threads or on how tokens are split
// into steps, bit for bit on one ISA.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/thread_pool.h"

namespace mica {

struct IsaInfo {
  const char* name;     // "generic", "avx2", "avxvnni", "avx512vnni", "amx", "neon"
  bool available;       // on this machine
  std::string missing;  // what it lacks for that: "avx512bw, avx512_vnni"
};

// All ISAs this build has kernels for, best last.
std::vector<IsaInfo> cpu_isas();
// Resolves "auto" (MICA_ISA, then the best available). Throws Error(kUnsupported) naming what the
// machine lacks, Error(kUsage) for a name that is not known.
std::string choose_isa(std::string_view requested);

// What products with f32, f16 and bf16 weights of many tokens run on: loads the BLAS module and
// gives "OpenBLAS SkylakeX (/usr/lib/mica/mica-blas.so)". Throws Error(kRuntime) where there is
// none.
std::string describe_blas();

struct CpuBackendOptions {
  std::string isa = "auto";
  Activations activations = Activations::kInt8;
};

std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, const CpuBackendOptions& options);

namespace cpu {
struct Kernels;
// With kernels that have no name, which outlive the backend: for tests.
std::unique_ptr<Backend> make_backend(ThreadPool& pool, const Kernels& kernels,
                                      Activations activations);
}  // namespace cpu

}  // namespace mica
