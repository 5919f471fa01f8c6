// The border between the CPU backend and its BLAS module: plain C types, one entry, an ABI number.
//
// The module (mica-blas.so) links OpenBLAS and oneDNN, so that a program that runs int4 and int8
// weights starts without them; backends/cpu/blas_loader.h loads it on first use. All functions work
// on one thread, the caller's, and may run on several at once: the backend's own pool divides the
// work, and no thread of a library ever runs or spins. Nothing throws across the border.
#pragma once

#include <cstdint>

extern "C" {

// y[t][n] = sum of x[t][k] * w[n][k]. Strides are in elements, from one row to the next.
struct MicaBlasProduct {
  int64_t tokens;
  int64_t rows;
  int64_t cols;
  const void* x;  // [tokens, cols]
  int64_t x_stride;
  const void* w;  // [rows, cols]
  int64_t w_stride;
  float* y;  // [tokens, rows]
  int64_t y_stride;
};

struct MicaBlas {
  uint32_t abi;
  // The kernels that OpenBLAS chose: "SkylakeX", "Haswell", ...
  const char* (*core_name)();
  void (*multiply_f32)(const MicaBlasProduct* product);
  // bf16 x and w, float y. False where this machine or shape has no kernel; y is then undefined.
  bool (*multiply_bf16)(const MicaBlasProduct* product);
  // Replaces the lower triangle of `a`, [n, n] row-major, by its Cholesky factor; false where it is
  // not positive definite.
  bool (*factor_f64)(double* a, int64_t n);
};

// The table, or nullptr when `abi` is not the module's.
using MicaBlasEntry = const MicaBlas* (*)(uint32_t abi);
}

namespace mica::cpu {

constexpr uint32_t kBlasAbi = 2;
constexpr char kBlasEntryName[] = "mica_blas_module";
constexpr char kBlasFileName[] = "mica-blas.so";

}  // namespace mica::cpu
