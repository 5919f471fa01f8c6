#include "backends/cpu/blas_loader.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <mutex>

#include "backends/cpu/cpu_backend.h"
#include "lib/base/error.h"
#include "lib/base/module_file.h"

namespace mica::cpu {
namespace {

// Sets a variable that is not set, and takes it away again.
class MomentaryVariable {
 public:
  MomentaryVariable(const char* name, const std::string& value)
      : name_(value.empty() || std::getenv(name) ? nullptr : name) {
    if (name_) setenv(name_, value.c_str(), 1);
  }
  ~MomentaryVariable() {
    if (name_) unsetenv(name_);
  }
  MomentaryVariable(const MomentaryVariable&) = delete;
  MomentaryVariable& operator=(const MomentaryVariable&) = delete;

 private:
  const char* name_;
};

void* open_module(const std::string& path, const CpuFeatures& cpu) {
  static std::mutex mutex;  // the environment is the process's
  const std::lock_guard lock(mutex);
  const MomentaryVariable core("OPENBLAS_CORETYPE", openblas_core_type(cpu));
  // The backend's pool divides the work: no thread of OpenBLAS is started, none of OpenMP spins.
  const MomentaryVariable threads("OPENBLAS_NUM_THREADS", "1");
  const MomentaryVariable waiting("OMP_WAIT_POLICY", "passive");
  return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

}  // namespace

std::string openblas_core_type(const CpuFeatures& cpu) {
  if (has_avx512(cpu)) return "SKYLAKEX";
  if (has_avx2(cpu)) return "HASWELL";
  constexpr uint32_t kSse3 = 1;
  return (cpu.leaf1_ecx & kSse3) != 0 ? "PRESCOTT" : "";
}

LoadedBlas load_blas(const CpuFeatures& cpu) {
  std::string searched;
  for (const std::string& path : module_paths(kBlasFileName, "backends/cpu/blas")) {
    searched += (searched.empty() ? "" : ", ") + path;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) continue;
    void* module = open_module(path, cpu);
    if (module == nullptr)
      throw Error(ErrorCode::kRuntime, "cannot load " + std::string(dlerror()));
    const auto entry = reinterpret_cast<MicaBlasEntry>(dlsym(module, kBlasEntryName));
    const MicaBlas* functions = entry ? entry(kBlasAbi) : nullptr;
    if (functions == nullptr) {
      throw Error(ErrorCode::kRuntime, path + ": expected a module with '" + kBlasEntryName +
                                           "' of ABI " + std::to_string(kBlasAbi) +
                                           ", found another" + (entry ? " ABI" : " file"));
    }
    return {path, functions};
  }
  throw Error(ErrorCode::kRuntime, "f32, f16 and bf16 weights: expected the module " +
                                       std::string(kBlasFileName) + ", not found at " + searched);
}

}  // namespace mica::cpu

namespace mica {

std::string describe_blas() {
  const cpu::LoadedBlas blas =
      cpu::load_blas(cpu::features_used(choose_isa("auto"), cpu::read_cpu_features()));
  return std::string("OpenBLAS ") + blas.functions->core_name() + " (" + blas.path + ")";
}

}  // namespace mica
