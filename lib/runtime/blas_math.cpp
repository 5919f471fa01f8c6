#include "lib/runtime/blas_math.h"

#include "backends/cpu/blas_loader.h"

namespace mica {
namespace {

const MicaBlas& module() {
  static const MicaBlas& functions = *cpu::load_blas(cpu::read_cpu_features()).functions;
  return functions;
}

void multiply(const MatrixRows& a, const MatrixRows& b, int64_t inner, float* out,
              int64_t out_stride) {
  const MicaBlasProduct product{.tokens = a.rows,
                                .rows = b.rows,
                                .cols = inner,
                                .x = a.data,
                                .x_stride = a.stride,
                                .w = b.data,
                                .w_stride = b.stride,
                                .y = out,
                                .y_stride = out_stride};
  module().multiply_f32(&product);
}

bool factor(double* a, int64_t n) {
  return module().factor_f64(a, n);
}

}  // namespace

MatrixMath blas_math() {
  (void)module();
  return {multiply, factor};
}

}  // namespace mica
