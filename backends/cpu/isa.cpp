#include "backends/cpu/isa.h"

#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "lib/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace mica {
namespace cpu {

namespace generic {
extern const Kernels kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512vnni {
extern const Kernels kKernels;
}
#endif

namespace {

struct Feature {
  const char* name;
  uint32_t CpuFeatures::*word;
  int bit;
};
constexpr uint64_t kSavesYmm = 0x06;  // SSE and AVX states (Intel SDM volume 1, 13.3)
constexpr uint64_t kSavesZmm = 0xe0;  // opmask and both ZMM states
constexpr Feature kAvx2Features[] = {{"fma", &CpuFeatures::leaf1_ecx, 12},
                                     {"f16c", &CpuFeatures::leaf1_ecx, 29},
                                     {"avx2", &CpuFeatures::leaf7_ebx, 5}};
constexpr Feature kAvx512Features[] = {{"avx512f", &CpuFeatures::leaf7_ebx, 16},
                                       {"avx512dq", &CpuFeatures::leaf7_ebx, 17},
                                       {"avx512bw", &CpuFeatures::leaf7_ebx, 30},
                                       {"avx512vl", &CpuFeatures::leaf7_ebx, 31}};
constexpr Feature kVnniFeatures[] = {{"avx512_vnni", &CpuFeatures::leaf7_ecx, 11}};
constexpr Feature kBf16Features[] = {{"avx512_bf16", &CpuFeatures::leaf7_1_eax, 5}};

struct Isa {
  const char* name;
  const Kernels* kernels;
  bool needs_avx2;
  bool needs_avx512vnni;
};

// Best last.
constexpr Isa kIsas[] = {
    {"generic", &generic::kKernels, false, false},
#if defined(__x86_64__)
    {"avx2", &avx2::kKernels, true, false},
    {"avx512vnni", &avx512vnni::kKernels, true, true},
#endif
};

const Isa* find_isa(std::string_view name) {
  for (const Isa& isa : kIsas) {
    if (name == isa.name) return &isa;
  }
  return nullptr;
}

void append(std::string& list, const std::string& word) {
  list += (list.empty() ? "" : ", ") + word;
}

template <size_t kCount>
void append_missing(const Feature (&features)[kCount], const CpuFeatures& cpu, std::string& list) {
  for (const Feature& feature : features) {
    if ((cpu.*feature.word >> feature.bit & 1) == 0) append(list, feature.name);
  }
}

void append_missing_avx2(const CpuFeatures& cpu, std::string& list) {
  append_missing(kAvx2Features, cpu, list);
  if ((cpu.xcr0 & kSavesYmm) != kSavesYmm) append(list, "AVX state saved by the system");
}

void append_missing_avx512(const CpuFeatures& cpu, std::string& list) {
  append_missing(kAvx512Features, cpu, list);
  if ((cpu.xcr0 & kSavesZmm) != kSavesZmm) append(list, "AVX-512 state saved by the system");
}

}  // namespace

CpuFeatures read_cpu_features() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  constexpr uint32_t kOsxsave = 1u << 27;
  uint32_t eax, ebx, ecx, edx;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) cpu.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    cpu.leaf7_ebx = ebx;
    cpu.leaf7_ecx = ecx;
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) cpu.leaf7_1_eax = eax;
  }
  if (cpu.leaf1_ecx & kOsxsave) {
    asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    cpu.xcr0 = uint64_t{edx} << 32 | eax;
  }
#endif
  return cpu;
}

std::string missing_features(std::string_view name, const CpuFeatures& cpu) {
  const Isa& isa = *find_isa(name);
  std::string missing;
  if (isa.needs_avx2) append_missing_avx2(cpu, missing);
  if (isa.needs_avx512vnni) {
    append_missing_avx512(cpu, missing);
    append_missing(kVnniFeatures, cpu, missing);
  }
  return missing;
}

bool has_avx2(const CpuFeatures& cpu) {
  std::string missing;
  append_missing_avx2(cpu, missing);
  return missing.empty();
}

bool has_avx512(const CpuFeatures& cpu) {
  std::string missing;
  append_missing_avx512(cpu, missing);
  return missing.empty();
}

bool has_avx512_bf16(const CpuFeatures& cpu) {
  std::string missing;
  append_missing(kBf16Features, cpu, missing);
  return missing.empty() && has_avx512(cpu);
}

std::string choose_isa(std::string_view requested, const char* environment,
                       const CpuFeatures& cpu) {
  const bool from_environment = requested == "auto" && environment != nullptr && *environment != 0;
  const std::string_view wanted = from_environment ? environment : requested;
  const std::string what = from_environment ? "MICA_ISA" : "isa";
  if (wanted == "auto") {
    std::string best;
    for (const Isa& isa : kIsas) {
      if (missing_features(isa.name, cpu).empty()) best = isa.name;
    }
    return best;
  }
  if (find_isa(wanted) == nullptr) {
    std::string known = "auto";
    for (const Isa& isa : kIsas) append(known, isa.name);
    throw Error(ErrorCode::kUsage,
                what + ": expected one of " + known + ", found '" + std::string(wanted) + "'");
  }
  if (const std::string missing = missing_features(wanted, cpu); !missing.empty()) {
    throw Error(ErrorCode::kUnsupported, what + ": expected a processor with " +
                                             std::string(wanted) + ", this one lacks " + missing);
  }
  return std::string(wanted);
}

const Kernels& kernels_of(std::string_view isa) {
  return *find_isa(isa)->kernels;
}

}  // namespace cpu

std::vector<IsaInfo> cpu_isas() {
  const cpu::CpuFeatures features = cpu::read_cpu_features();
  std::vector<IsaInfo> isas;
  for (const cpu::Isa& isa : cpu::kIsas) {
    isas.push_back({isa.name, cpu::missing_features(isa.name, features).empty()});
  }
  return isas;
}

std::string choose_isa(std::string_view requested) {
  return cpu::choose_isa(requested, std::getenv("MICA_ISA"), cpu::read_cpu_features());
}

}  // namespace mica
