// Loading the BLAS module: the kernels that OpenBLAS is made to choose, the environment afterwards,
// and what is said where the module is missing or wrong. Each case runs in a process of its own,
// because a library chooses once.
#include <cstdlib>
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/cpu/blas_loader.h"
#include "lib/base/error.h"

namespace mica {
namespace {

using cpu::CpuFeatures;

// What `work` returns, or the message of the Error it throws, from a child process.
std::string in_child(const std::function<std::string()>& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::string text;
    unsetenv("OPENBLAS_CORETYPE");  // those of whoever runs the tests
    unsetenv("OPENBLAS_NUM_THREADS");
    try {
      text = work();
    } catch (const Error& error) {
      text = error.message();
    }
    const bool written = write(ends[1], text.data(), text.size()) >= 0;
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[256];
  for (ssize_t size; (size = read(ends[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, size);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  return text;
}

std::string core_name(const CpuFeatures& cpu) {
  return cpu::load_blas(cpu).functions->core_name();
}

TEST_CASE("OpenBLAS is made to choose kernels for the processor there is") {
  const CpuFeatures cpu = cpu::read_cpu_features();
  const std::string name = in_child([&] { return core_name(cpu); });
  if (cpu::has_avx512(cpu)) {
    CHECK(name == "SkylakeX");
  } else if (cpu::has_avx2(cpu)) {
    CHECK(name == "Haswell");
  }
  CHECK_FALSE(name.empty());
}

TEST_CASE("the choice is ours and not OpenBLAS's") {
  const CpuFeatures here = cpu::read_cpu_features();
  if (!cpu::has_avx512(here)) return;
  CpuFeatures no_avx512 = here;
  no_avx512.leaf7_ebx &= ~(1u << 16);
  CHECK(in_child([&] { return core_name(no_avx512); }) == "Haswell");
}

TEST_CASE("OpenBLAS runs on no wider vectors than the kernels that were asked for") {
  const CpuFeatures here = cpu::read_cpu_features();
  if (!cpu::has_avx2(here)) return;
  const auto name_with = [&](const char* isa) {
    return in_child([&] { return core_name(cpu::features_used(isa, here)); });
  };
  CHECK(name_with("generic") == "Prescott");
  CHECK(name_with("avx2") == "Haswell");
  CHECK_FALSE(cpu::has_avx512_bf16(cpu::features_used("avx2", here)));
}

TEST_CASE("an Emerald Rapids without AMX is no Prescott") {
  // CPUID of the machine on which OpenBLAS 0.3.21 falls back to SSE3 kernels: it is of a model that
  // the library does not know, and so is every processor newer than it.
  const CpuFeatures cpu{.leaf1_ecx = 0xfffa3203,
                        .leaf7_ebx = 0xf1bf07ab,
                        .leaf7_ecx = 0x1b415fde,
                        .leaf7_1_eax = 0x1c30,
                        .xcr0 = 0x2e7};
  CHECK(cpu::openblas_core_type(cpu) == "SKYLAKEX");
}

#if defined(__x86_64__)
TEST_CASE("the user's OPENBLAS_CORETYPE wins") {
  CHECK(in_child([] {
          setenv("OPENBLAS_CORETYPE", "Prescott", 1);
          return core_name(cpu::read_cpu_features());
        }) == "Prescott");
}
#endif

int count_threads() {
  int threads = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    threads += entry.is_directory();
  }
  return threads;
}

TEST_CASE("the environment is as it was after loading, and no thread was started") {
  CHECK(in_child([] {
          setenv("OMP_WAIT_POLICY", "active", 1);
          const int before = count_threads();  // an emulator has one of its own
          cpu::load_blas(cpu::read_cpu_features());
          const int started = count_threads() - before;
          const bool unset =
              !std::getenv("OPENBLAS_CORETYPE") && !std::getenv("OPENBLAS_NUM_THREADS");
          return std::to_string(started) + " started, " + (unset ? "unset, " : "set, ") +
                 std::getenv("OMP_WAIT_POLICY");
        }) == "0 started, unset, active");
}

TEST_CASE("a missing module is named with the place where it was looked for") {
  CHECK(in_child([] {
          setenv("MICA_MODULE_DIR", "/nonexistent", 1);
          return core_name(cpu::read_cpu_features());
        }) ==
        "f32, f16 and bf16 weights: expected the module mica-blas.so, not found at "
        "/nonexistent/mica-blas.so");
}

TEST_CASE("a file that is no module is refused") {
  const auto folder = std::filesystem::temp_directory_path() / "mica-blas-module-test";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / cpu::kBlasFileName) << "not a library";
  const std::string message = in_child([&] {
    setenv("MICA_MODULE_DIR", folder.c_str(), 1);
    return core_name(cpu::read_cpu_features());
  });
  std::filesystem::remove_all(folder);
  CHECK(message.starts_with("cannot load " + (folder / cpu::kBlasFileName).string()));
}

TEST_CASE("the module gives its functions to callers of its own ABI alone") {
  CHECK(in_child([] {
          const cpu::LoadedBlas blas = cpu::load_blas(cpu::read_cpu_features());
          void* module = dlopen(blas.path.c_str(), RTLD_NOW | RTLD_NOLOAD);
          const auto entry = reinterpret_cast<MicaBlasEntry>(dlsym(module, cpu::kBlasEntryName));
          const bool same = entry(cpu::kBlasAbi) == blas.functions;
          return std::string(same ? "own" : "other") +
                 (entry(cpu::kBlasAbi + 1) == nullptr ? ", none" : ", some");
        }) == "own, none");
}

}  // namespace
}  // namespace mica
