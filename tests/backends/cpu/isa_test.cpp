// Which instruction set is chosen, and what is said where none can be.
#include "backends/cpu/isa.h"

#include <doctest/doctest.h>

#include "backends/cpu/cpu_backend.h"
#include "lib/base/error.h"

namespace mica {
namespace {

using cpu::CpuFeatures;

std::string message_of(std::string_view isa, const char* environment, const CpuFeatures& cpu,
                       ErrorCode code) {
  try {
    cpu::choose_isa(isa, environment, cpu);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.message();
  }
  return "no error";
}

#if defined(__x86_64__)
constexpr uint32_t kAll = 0xffffffff;

CpuFeatures every_feature() {
  return {.leaf1_ecx = kAll,
          .leaf7_ebx = kAll,
          .leaf7_ecx = kAll,
          .leaf7_edx = kAll,
          .leaf7_1_eax = kAll,
          .xcr0 = kAll,
          .permitted = kAll};
}

TEST_CASE("the best instruction set that the processor has is chosen") {
  CHECK(cpu::choose_isa("auto", nullptr, every_feature()) == "amx");
  CpuFeatures cpu = every_feature();
  cpu.leaf7_edx &= ~(1u << 25);  // no AMX-INT8
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avx512vnni");
  cpu.leaf7_ecx = 0;  // no AVX-512 VNNI
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avxvnni");
  cpu.leaf7_1_eax &= ~(1u << 4);  // no AVX-VNNI
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avx2");
  CHECK(cpu::choose_isa("auto", nullptr, CpuFeatures{}) == "generic");
}

TEST_CASE("MICA_ISA decides where nothing else was asked for") {
  CHECK(cpu::choose_isa("auto", "avx2", every_feature()) == "avx2");
  CHECK(cpu::choose_isa("auto", "auto", every_feature()) == "amx");
  CHECK(cpu::choose_isa("auto", "", every_feature()) == "amx");
  CHECK(cpu::choose_isa("generic", "avx2", every_feature()) == "generic");
}

TEST_CASE("an instruction set that the processor lacks is refused by the name of the feature") {
  CpuFeatures cpu = every_feature();
  cpu.leaf7_ecx = 0;
  CHECK(message_of("avx512vnni", nullptr, cpu, ErrorCode::kUnsupported) ==
        "isa: expected a processor with avx512vnni, this one lacks avx512_vnni");
  cpu.leaf7_1_eax = 0;
  CHECK(message_of("avxvnni", nullptr, cpu, ErrorCode::kUnsupported) ==
        "isa: expected a processor with avxvnni, this one lacks avx_vnni");
  cpu.leaf1_ecx &= ~(1u << 29);
  CHECK(message_of("auto", "avx2", cpu, ErrorCode::kUnsupported) ==
        "MICA_ISA: expected a processor with avx2, this one lacks f16c");
}

TEST_CASE("registers that the system does not save are not used") {
  CpuFeatures cpu = every_feature();
  cpu.xcr0 = 0x07;  // x87, SSE, AVX
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avxvnni");
  CHECK(message_of("avx512vnni", nullptr, cpu, ErrorCode::kUnsupported) ==
        "isa: expected a processor with avx512vnni, this one lacks AVX-512 state saved by the "
        "system");
  cpu.xcr0 = 0xe7;  // and AVX-512
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avx512vnni");
  CHECK(message_of("amx", nullptr, cpu, ErrorCode::kUnsupported) ==
        "isa: expected a processor with amx, this one lacks AMX state saved by the system");
  cpu.xcr0 = 0x03;
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "generic");
}

TEST_CASE("tiles that the system does not let this process use are not used") {
  CpuFeatures cpu = every_feature();
  cpu.permitted = 0x200e7;  // all but the tiles' data
  CHECK(cpu::choose_isa("auto", nullptr, cpu) == "avx512vnni");
  CHECK(message_of("amx", nullptr, cpu, ErrorCode::kUnsupported) ==
        "isa: expected a processor with amx, this one lacks the system's permission to use tiles");
}

TEST_CASE("an unknown instruction set is refused with the list of those known") {
  CHECK(message_of("sse9", nullptr, every_feature(), ErrorCode::kUsage) ==
        "isa: expected one of auto, generic, avx2, avxvnni, avx512vnni, amx, found 'sse9'");
  CHECK(message_of("auto", "sse9", every_feature(), ErrorCode::kUsage) ==
        "MICA_ISA: expected one of auto, generic, avx2, avxvnni, avx512vnni, amx, found 'sse9'");
}
#elif defined(__aarch64__)
TEST_CASE("neon is chosen where the processor has dot products, and refused elsewhere") {
  CHECK(cpu::choose_isa("auto", nullptr, {.hwcap = 1u << 20}) == "neon");
  CHECK(cpu::choose_isa("auto", nullptr, {}) == "generic");
  CHECK(message_of("neon", nullptr, {}, ErrorCode::kUnsupported) ==
        "isa: expected a processor with neon, this one lacks asimddp");
}
#endif

TEST_CASE("the backend's name tells instruction set and threads") {
  ThreadPool one(1), two(2);
  CHECK(make_cpu_backend(one, {.isa = "generic"})->name() == "cpu (generic, 1 thread)");
  CHECK(make_cpu_backend(two, {.isa = "generic"})->name() == "cpu (generic, 2 threads)");
  CHECK(cpu_isas().front().available);
  for (const IsaInfo& isa : cpu_isas()) CHECK(isa.available == isa.missing.empty());
}

}  // namespace
}  // namespace mica
