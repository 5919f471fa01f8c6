// cuBLASLt by dlopen: a program runs without it, and its 400 MB are not part of Mica. The header
// gives types and constants only.
#include <cublasLt.h>
#include <dlfcn.h>
#include <map>
#include <tuple>

#include "backends/cuda/gemm.h"

namespace mica::cuda {
namespace {

constexpr uint64_t kWorkspaceBytes = 32 << 20;  // what NVIDIA advises for Hopper

struct Library {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
};

// False where the library or one of its functions is missing. It stays loaded: others may use it
// too.
bool load_library(Library& library) {
  void* handle = nullptr;
  for (const char* name : {"libcublasLt.so." MICA_CUDA_MAJOR, "libcublasLt.so"}) {
    handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle != nullptr) break;
  }
  if (handle == nullptr) return false;
  bool complete = true;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    complete = complete && function != nullptr;
  };
  find(library.create, "cublasLtCreate");
  find(library.destroy, "cublasLtDestroy");
  find(library.matmul, "cublasLtMatmul");
  find(library.desc_create, "cublasLtMatmulDescCreate");
  find(library.desc_destroy, "cublasLtMatmulDescDestroy");
  find(library.desc_set, "cublasLtMatmulDescSetAttribute");
  find(library.layout_create, "cublasLtMatrixLayoutCreate");
  find(library.layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(library.preference_create, "cublasLtMatmulPreferenceCreate");
  find(library.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(library.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(library.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  return complete;
}

// What the library needs to know of one shape. Its matrices are column-major: out^T = weights *
// x^T.
class Plan {
 public:
  Plan(const Library& library, cublasLtHandle_t handle, const GemmShape& shape)
      : library_(library) {
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const uint64_t workspace = kWorkspaceBytes;
    int found = 0;
    is_ready_ =
        ok(library.desc_create(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)) &&
        ok(library.desc_set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed)) &&
        ok(library.layout_create(&weights, CUDA_R_16BF, shape.cols, shape.rows, shape.cols)) &&
        ok(library.layout_create(&x, CUDA_R_16BF, shape.cols, shape.tokens, shape.cols)) &&
        ok(library.layout_create(&out, CUDA_R_32F, shape.rows, shape.tokens, shape.rows)) &&
        ok(library.preference_create(&preference)) &&
        ok(library.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                  sizeof workspace)) &&
        ok(library.heuristic(handle, desc, weights, x, out, out, preference, 1, &choice, &found)) &&
        found == 1;
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (preference) library_.preference_destroy(preference);
    for (const cublasLtMatrixLayout_t layout : {weights, x, out}) {
      if (layout) library_.layout_destroy(layout);
    }
    if (desc) library_.desc_destroy(desc);
  }
  bool is_ready() const { return is_ready_; }

  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t weights = nullptr, x = nullptr, out = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t choice{};

 private:
  static bool ok(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; }
  const Library& library_;
  bool is_ready_ = false;
};

class CublasLt final : public Gemm {
 public:
  CublasLt(const Library& library, cublasLtHandle_t handle) : library_(library), handle_(handle) {}
  ~CublasLt() override {
    plans_.clear();
    library_.destroy(handle_);
  }

  uint64_t workspace_bytes() const override { return kWorkspaceBytes; }

  bool multiply(const GemmShape& shape, const uint16_t* x, const uint16_t* weights, float* out,
                std::byte* workspace, StreamHandle stream) override {
    auto& plan = plans_[{shape.tokens, shape.rows, shape.cols}];
    if (!plan) plan = std::make_unique<Plan>(library_, handle_, shape);
    if (!plan->is_ready()) return false;
    const float one = 1, zero = 0;
    return library_.matmul(handle_, plan->desc, &one, weights, plan->weights, x, plan->x, &zero,
                           out, plan->out, out, plan->out, &plan->choice.algo, workspace,
                           kWorkspaceBytes,
                           static_cast<cudaStream_t>(stream)) == CUBLAS_STATUS_SUCCESS;
  }

 private:
  Library library_;
  cublasLtHandle_t handle_;
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::unique_ptr<Plan>> plans_;
};

}  // namespace

std::unique_ptr<Gemm> Gemm::load(Driver& driver) {
  Library library{};
  cublasLtHandle_t handle;
  driver.use();
  if (!load_library(library) || library.create(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  return std::make_unique<CublasLt>(library, handle);
}

}  // namespace mica::cuda
