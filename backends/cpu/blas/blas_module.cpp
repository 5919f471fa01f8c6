#include "backends/cpu/blas/blas_module.h"

#include <cblas.h>
#include <semaphore>

#include "backends/cpu/blas/bf16_product.h"

// LAPACK's, in OpenBLAS; the last argument is the length of `triangle`, as Fortran passes it.
extern "C" void dpotrf_(const char* triangle, const blasint* n, double* a, const blasint* stride,
                        blasint* info, size_t length);

namespace mica::cpu {
namespace {

// OpenBLAS ends the program when more threads call it at once than it has buffers: 128 in Debian's
// build (two for each of MAX_THREADS=64).
constexpr int kMaxCallers = 64;
std::counting_semaphore<kMaxCallers> free_callers(kMaxCallers);

const char* core_name() {
  return openblas_get_corename();
}

void multiply_f32(const MicaBlasProduct* p) {
  free_callers.acquire();
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<blasint>(p->tokens),
              static_cast<blasint>(p->rows), static_cast<blasint>(p->cols), 1,
              static_cast<const float*>(p->x), static_cast<blasint>(p->x_stride),
              static_cast<const float*>(p->w), static_cast<blasint>(p->w_stride), 0, p->y,
              static_cast<blasint>(p->y_stride));
  free_callers.release();
}

// The lower triangle by rows is the upper one by columns.
bool factor_f64(double* a, int64_t n) {
  const auto size = static_cast<blasint>(n);
  blasint info = 0;
  free_callers.acquire();
  dpotrf_("U", &size, a, &size, &info, 1);
  free_callers.release();
  return info == 0;
}

}  // namespace
}  // namespace mica::cpu

extern "C" __attribute__((visibility("default"))) const MicaBlas* mica_blas_module(uint32_t abi) {
  using namespace mica::cpu;
  static constexpr MicaBlas kModule{kBlasAbi, core_name, multiply_f32, multiply_bf16, factor_f64};
  if (abi != kBlasAbi) return nullptr;
  openblas_set_num_threads(1);
  return &kModule;
}
