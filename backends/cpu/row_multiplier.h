// Products with row-major f32, f16 and bf16 weights for more than a few tokens, by the BLAS module.
//
// f32 goes to OpenBLAS as it is; f16 and bf16 are widened a block of rows at a time. With int8
// activations allowed (Activations::kInt8), bf16 on a processor with bf16 products goes to oneDNN
// with each activation split in two bf16 terms, which loses 2^-16 of its value at most, no more
// than 256 float additions may: twice the rows of x at more than twice the speed, and nothing to
// widen.
#pragma once

#include <vector>

#include "backends/cpu/blas_loader.h"
#include "backends/cpu/kernels/kernels.h"
#include "lib/backend/backend.h"
#include "lib/base/aligned_buffer.h"

namespace mica::cpu {

class RowMultiplier {
 public:
  // Up to this many tokens Kernels::multiply_rows() serves, and the module is not loaded.
  static constexpr int64_t kOwnTokens = 8;

  RowMultiplier(const Kernels& kernels, Activations activations, int threads);

  // Returns the bytes held.
  uint64_t reserve(const StepLimits& limits, int64_t block_tokens);
  // Loads the module unless it is loaded. Throws Error(kRuntime).
  void load();

  // Whether a weight takes its input split (Kernels::split) in two halves().
  bool takes_halves(RowFormat format, int64_t cols) const;
  uint16_t* halves() const { return reinterpret_cast<uint16_t*>(halves_.data()); }  // [T, 2, K]
  // How many rows are best multiplied at once.
  int64_t rows_at_once(int64_t cols) const;

  // At most rows_at_once() rows; x or, if taken, halves belong to `tokens` tokens. The result lies
  // in memory of the thread's, of which there are two.
  Matrix multiply(const Rows& w, const ConstMatrix& x, const uint16_t* halves, int64_t tokens,
                  int thread, int which) const;

 private:
  struct ThreadMemory {
    AlignedBuffer widened;
    AlignedBuffer products[2];
  };
  const Kernels& kernels_;
  const CpuFeatures cpu_;
  const bool splits_;
  LoadedBlas blas_;
  AlignedBuffer halves_;
  std::vector<ThreadMemory> threads_;
};

}  // namespace mica::cpu
