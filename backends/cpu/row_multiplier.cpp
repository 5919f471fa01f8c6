#include "backends/cpu/row_multiplier.h"

#include <algorithm>

namespace mica::cpu {
namespace {

constexpr int64_t kMostRows = 256;
// Of widened weights: beyond this they no longer stay in the L2 cache.
constexpr int64_t kWidenedBytes = 2 << 20;

// From here on a sum of floats may lose more than the split's 2^-16.
constexpr int64_t kLeastSplitCols = 256;

template <class T>
T* as(const AlignedBuffer& buffer) {
  return reinterpret_cast<T*>(buffer.data());
}

}  // namespace

RowMultiplier::RowMultiplier(const Kernels& kernels, Activations activations, int threads)
    : kernels_(kernels),
      cpu_(features_used(kernels.isa, read_cpu_features())),
      splits_(activations == Activations::kInt8 && has_avx512_bf16(cpu_)),
      threads_(threads) {}

bool RowMultiplier::takes_halves(RowFormat format, int64_t cols) const {
  return splits_ && format == RowFormat::kBF16 && cols >= kLeastSplitCols;
}

int64_t RowMultiplier::rows_at_once(int64_t cols) const {
  const int64_t rows = kWidenedBytes / (cols * static_cast<int64_t>(sizeof(float)));
  return std::clamp<int64_t>(rows / kPanelRows * kPanelRows, kPanelRows, kMostRows);
}

uint64_t RowMultiplier::reserve(const StepLimits& limits, int64_t block_tokens) {
  const int64_t tokens = std::max(limits.tokens, limits.logit_rows);
  if (!limits.float_weights || tokens <= kOwnTokens) return 0;
  const auto floats = static_cast<int64_t>(sizeof(float));
  halves_ = AlignedBuffer(splits_ ? 2 * tokens * limits.input_cols * sizeof(uint16_t) : 0);
  uint64_t bytes = halves_.bytes();
  for (ThreadMemory& memory : threads_) {
    memory.widened =
        AlignedBuffer(std::max(kWidenedBytes, kPanelRows * limits.input_cols * floats));
    bytes += memory.widened.bytes();
    for (AlignedBuffer& products : memory.products) {
      products = AlignedBuffer(2 * std::min(block_tokens, tokens) * kMostRows * floats);
      bytes += products.bytes();
    }
  }
  return bytes;
}

void RowMultiplier::load() {
  if (!blas_.functions) blas_ = load_blas(cpu_);
}

Matrix RowMultiplier::multiply(const Rows& w, const ConstMatrix& x, const uint16_t* halves,
                               int64_t tokens, int thread, int which) const {
  const ThreadMemory& memory = threads_[thread];
  float* y = as<float>(memory.products[which]);
  MicaBlasProduct product{.tokens = tokens,
                          .rows = w.count,
                          .cols = w.cols,
                          .x = x.data,
                          .x_stride = x.stride,
                          .w = w.first,
                          .w_stride = w.cols,
                          .y = y,
                          .y_stride = w.count};
  if (takes_halves(w.format, w.cols)) {
    product.tokens = 2 * tokens;
    product.x = halves;
    product.x_stride = w.cols;
    if (blas_.functions->multiply_bf16(&product)) {
      const Matrix sum{y, 2 * w.count};
      kernels_.add({.tokens = tokens,
                    .count = w.count,
                    .y = {y + w.count, sum.stride},
                    .bias = nullptr,
                    .out = sum});
      return sum;
    }
    product.tokens = tokens;
    product.x = x.data;
    product.x_stride = x.stride;
  }
  if (w.format != RowFormat::kF32) {
    kernels_.widen(w.format, w.first, w.count * w.cols, as<float>(memory.widened));
    product.w = memory.widened.data();
  }
  blas_.functions->multiply_f32(&product);
  return {y, w.count};
}

}  // namespace mica::cpu
