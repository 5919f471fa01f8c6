#include "backends/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <span>
#include <utility>

#include "backends/cpu/cpu_backend.h"
#include "lib/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
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
namespace avxvnni {
extern const Kernels kKernels;
}
namespace avx512vnni {
extern const Kernels kKernels;
}
namespace amx {
extern const MatrixKernels kKernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const Kernels kKernels;
}
#endif

namespace {

struct Feature {
  const char* name;  // as in /proc/cpuinfo
  uint32_t CpuFeatures::*word;
  int bit;
};

// Features, and the register states (Intel SDM volume 1, 13.3) that the system must save with them.
struct FeatureSet {
  std::span<const Feature> features;
  uint64_t xcr0 = 0;
  const char* state = "";
  uint64_t permission = 0;  // of those, the tiles that it must be asked for
};

constexpr Feature kAvx2Features[] = {{"fma", &CpuFeatures::leaf1_ecx, 12},
                                     {"f16c", &CpuFeatures::leaf1_ecx, 29},
                                     {"avx2", &CpuFeatures::leaf7_ebx, 5}};
constexpr Feature kAvxVnniFeatures[] = {{"avx_vnni", &CpuFeatures::leaf7_1_eax, 4}};
constexpr Feature kAvx512Features[] = {{"avx512f", &CpuFeatures::leaf7_ebx, 16},
                                       {"avx512dq", &CpuFeatures::leaf7_ebx, 17},
                                       {"avx512bw", &CpuFeatures::leaf7_ebx, 30},
                                       {"avx512vl", &CpuFeatures::leaf7_ebx, 31}};
constexpr Feature kAvx512VnniFeatures[] = {{"avx512_vnni", &CpuFeatures::leaf7_ecx, 11}};
constexpr Feature kAvx512Bf16Features[] = {{"avx512_bf16", &CpuFeatures::leaf7_1_eax, 5}};
constexpr Feature kAmxFeatures[] = {{"amx_tile", &CpuFeatures::leaf7_edx, 24},
                                    {"amx_int8", &CpuFeatures::leaf7_edx, 25}};
constexpr Feature kNeonFeatures[] = {{"asimddp", &CpuFeatures::hwcap, 20}};

constexpr FeatureSet kAvx2{kAvx2Features, 0x06, "AVX state saved by the system"};
constexpr FeatureSet kAvxVnni{kAvxVnniFeatures};
constexpr FeatureSet kAvx512{kAvx512Features, 0xe0, "AVX-512 state saved by the system"};
constexpr FeatureSet kAvx512Vnni{kAvx512VnniFeatures};
constexpr FeatureSet kAvx512Bf16{kAvx512Bf16Features};
constexpr uint64_t kTileConfig = 1u << 17, kTileData = 1u << 18;
constexpr FeatureSet kAmx{kAmxFeatures, kTileConfig | kTileData, "AMX state saved by the system",
                          kTileData};
constexpr FeatureSet kNeon{kNeonFeatures};

struct Isa {
  const char* name;
  const Kernels* kernels;
  const FeatureSet* needs[4];
};

#if defined(__x86_64__)
// The vectors do all but products of many tokens.
const Kernels kAmxKernels = [] {
  Kernels kernels = avx512vnni::kKernels;
  kernels.isa = "amx";
  kernels.multiply_many = amx::kKernels.multiply_many;
  kernels.few_tokens = amx::kKernels.few_tokens;
  return kernels;
}();
#endif

// Best last.
constexpr Isa kIsas[] = {
    {"generic", &generic::kKernels, {}},
#if defined(__x86_64__)
    {"avx2", &avx2::kKernels, {&kAvx2}},
    {"avxvnni", &avxvnni::kKernels, {&kAvx2, &kAvxVnni}},
    {"avx512vnni", &avx512vnni::kKernels, {&kAvx2, &kAvx512, &kAvx512Vnni}},
    {"amx", &kAmxKernels, {&kAvx2, &kAvx512, &kAvx512Vnni, &kAmx}},
#elif defined(__aarch64__)
    {"neon", &neon::kKernels, {&kNeon}},
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

void append_missing(const FeatureSet& set, const CpuFeatures& cpu, std::string& list) {
  for (const Feature& feature : set.features) {
    if ((cpu.*feature.word >> feature.bit & 1) == 0) append(list, feature.name);
  }
  if ((cpu.xcr0 & set.xcr0) != set.xcr0) {
    append(list, set.state);
  } else if ((cpu.permitted & set.permission) != set.permission) {
    append(list, "the system's permission to use tiles");
  }
}

bool has(const FeatureSet& set, const CpuFeatures& cpu) {
  std::string missing;
  append_missing(set, cpu, missing);
  return missing.empty();
}

#if defined(__x86_64__)
// Linux saves tiles only for processes that have asked (Documentation/arch/x86/xstate.rst); it
// refuses where a thread's signal stack is too small or a filter forbids the call.
uint64_t request_tile_state() {
  constexpr int kGetPermission = 0x1022, kRequestPermission = 0x1023;  // asm/prctl.h, Linux 5.16
  constexpr int kTileDataFeature = 18;
  uint64_t permitted = 0;
  syscall(SYS_arch_prctl, kRequestPermission, kTileDataFeature);
  syscall(SYS_arch_prctl, kGetPermission, &permitted);
  return permitted;
}
#endif

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
    cpu.leaf7_edx = edx;
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) cpu.leaf7_1_eax = eax;
  }
  if (cpu.leaf1_ecx & kOsxsave) {
    asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    cpu.xcr0 = uint64_t{edx} << 32 | eax;
  }
  if (cpu.xcr0 & kTileData) {
    static const uint64_t permitted = request_tile_state();
    cpu.permitted = permitted;
  }
#elif defined(__aarch64__)
  cpu.hwcap = static_cast<uint32_t>(getauxval(AT_HWCAP));
#endif
  return cpu;
}

std::string missing_features(std::string_view name, const CpuFeatures& cpu) {
  std::string missing;
  for (const FeatureSet* set : find_isa(name)->needs) {
    if (set) append_missing(*set, cpu, missing);
  }
  return missing;
}

CpuFeatures features_used(std::string_view name, const CpuFeatures& cpu) {
  CpuFeatures used = cpu;
  const Isa* isa = find_isa(name);
  if (isa == nullptr) return used;
  for (const FeatureSet* set : {&kAvx2, &kAvx512}) {
    if (std::find(std::begin(isa->needs), std::end(isa->needs), set) != std::end(isa->needs))
      continue;
    for (const Feature& feature : set->features) used.*feature.word &= ~(1u << feature.bit);
  }
  return used;
}

bool has_avx2(const CpuFeatures& cpu) {
  return has(kAvx2, cpu);
}

bool has_avx512(const CpuFeatures& cpu) {
  return has(kAvx512, cpu);
}

bool has_avx512_bf16(const CpuFeatures& cpu) {
  return has(kAvx512Bf16, cpu) && has_avx512(cpu);
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
    std::string missing = cpu::missing_features(isa.name, features);
    isas.push_back({isa.name, missing.empty(), std::move(missing)});
  }
  return isas;
}

std::string choose_isa(std::string_view requested) {
  return cpu::choose_isa(requested, std::getenv("MICA_ISA"), cpu::read_cpu_features());
}

}  // namespace mica
