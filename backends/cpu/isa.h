// Which instruction sets this build has kernels for and which of them a processor can run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {

// What CPUID says and the operating system saves, or what the kernel tells of an AArch64; all zero
// elsewhere.
struct CpuFeatures {
  uint32_t leaf1_ecx = 0;
  uint32_t leaf7_ebx = 0;
  uint32_t leaf7_ecx = 0;
  uint32_t leaf7_edx = 0;
  uint32_t leaf7_1_eax = 0;  // subleaf 1
  uint64_t xcr0 = 0;         // register states that the system saves
  uint64_t permitted = 0;    // of those that it lets no process use unasked: what it lets this one
  uint32_t hwcap = 0;        // AArch64: AT_HWCAP
};
// The first call of a process asks Linux for the state of AMX tiles, where there is one: from then
// on signal stacks must have room for its 8 KB.
CpuFeatures read_cpu_features();

// AVX2, FMA and F16C, with the state saved by the system.
bool has_avx2(const CpuFeatures& cpu);
// AVX-512 F, DQ, BW and VL, with the state saved by the system.
bool has_avx512(const CpuFeatures& cpu);
// The same with products of bf16.
bool has_avx512_bf16(const CpuFeatures& cpu);

// `cpu` without AVX-512 and AVX2 where `isa` does not need them; as it is for other names.
CpuFeatures features_used(std::string_view isa, const CpuFeatures& cpu);

// Features that `isa` needs and the processor lacks, as "avx512bw, avx512_vnni"; empty: it can run.
std::string missing_features(std::string_view isa, const CpuFeatures& cpu);

// choose_isa() of cpu_backend.h for any processor and any value of MICA_ISA (nullptr: not set).
std::string choose_isa(std::string_view requested, const char* environment, const CpuFeatures& cpu);

// The name must be one of cpu_isas().
const Kernels& kernels_of(std::string_view isa);

}  // namespace mica::cpu
