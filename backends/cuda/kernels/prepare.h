// The input of products: rows, chosen by index or all, behind their norm, as int8 codes (in one
// part or two), as floats or as bf16. One block a row; without a norm a row may be divided between
// blocks.
#pragma once

#include "backends/cuda/kernels/args.h"
#include "backends/cuda/kernels/coded_input.h"
#include "backends/cuda/kernels/reduce.h"

namespace mica::cuda {

constexpr int kPrepareThreads = 512;
constexpr int kPrepareShared = kReduceFloats * 4;

// y = (x - mean) * scale * weight + bias
struct RowNorm {
  float mean = 0, scale = 1;
  const float* weight = nullptr;
  const float* bias = nullptr;
};

MICA_DEVICE RowNorm measure_row(const NormArgs& norm, const float* x, int cols, float* scratch) {
  RowNorm row{0, 1, norm.weight, norm.bias};
  if (!norm.weight) return row;
  const auto count = static_cast<float>(cols);
  if (norm.is_layer) {
    float sum = 0;
    for (int i = thread_index(); i < cols; i += block_threads()) sum = add_rn(sum, x[i]);
    row.mean = div_rn(block_sum(sum, scratch), count);
  }
  float squares = 0;
  for (int i = thread_index(); i < cols; i += block_threads()) {
    const float centred = add_rn(x[i], -row.mean);
    squares = fma_rn(centred, centred, squares);
  }
  const float square = div_rn(block_sum(squares, scratch), count);
  row.scale = div_rn(1, sqrt_rn(add_rn(square, norm.epsilon)));
  return row;
}

MICA_DEVICE float apply_norm(const RowNorm& row, float x, int i) {
  if (!row.weight) return x;
  float y = mul_rn(mul_rn(add_rn(x, -row.mean), row.scale), row.weight[i]);
  return row.bias ? add_rn(y, row.bias[i]) : y;
}

// Four values of this lane, column `first` of the row at `from` in [T, K]; what codes leave
// replaces them. All lanes of a warp take part; `present`: the lane has values.
MICA_DEVICE void store_codes(const CodedInput& to, int64_t from, int first, int group, bool present,
                             float (&values)[4]) {
  int largest = 0;
  for (int i = 0; i < 4; ++i) {
    const int bits = magnitude_bits(values[i]);
    largest = bits > largest ? bits : largest;
  }
  const float scale = choose_scale(lanes_max(largest, group / 4));
  const float inverse = invert_scale(scale);
  int sum = 0;
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) {
    const int code = code_of(values[i], inverse);
    sum += code;
    word |= (static_cast<uint32_t>(code) & 255u) << (8 * i);
    values[i] = add_rn(values[i], -mul_rn(scale, static_cast<float>(code)));
  }
  sum = lanes_sum(sum, group / 4);
  if (!present) return;
  *reinterpret_cast<uint32_t*>(to.codes + from + first) = word;
  if (first % group != 0) return;
  to.scales[(from + first) / group] = scale;
  to.sums[(from + first) / group] = sum;
}

MICA_DEVICE void prepare(const PrepareArgs& args) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const int64_t t = block_x();
  const float* x = args.x + (args.rows ? args.rows[t] : t) * args.cols;
  const RowNorm norm = measure_row(args.norm, x, args.cols, scratch);
  const int64_t from = t * args.cols;
  const int begin = block_y() * args.cols_a_block;
  const int limit = begin + args.cols_a_block;
  const int end = limit < args.cols ? limit : args.cols;
  if (!args.coded.codes) {
    for (int i = begin + thread_index(); i < end; i += block_threads()) {
      const float y = apply_norm(norm, x[i], i);
      if (args.floats) args.floats[from + i] = y;
      if (args.bf16) args.bf16[from + i] = float_to_bf16(y);
    }
    return;
  }
  constexpr int kStep = 4 * 32;  // columns of a warp
  for (int piece = begin + warp() * kStep; piece < end; piece += block_threads() * 4) {
    const int first = piece + 4 * lane();
    const bool present = first < end;
    float values[4] = {0, 0, 0, 0};
    if (present) {
      const Words4 words = load128(x + first);
      const uint32_t bits[4] = {words.x, words.y, words.z, words.w};
      for (int i = 0; i < 4; ++i) values[i] = apply_norm(norm, as_float(bits[i]), first + i);
    }
    store_codes(args.coded, from, first, args.group, present, values);
    if (args.second.codes) store_codes(args.second, from, first, args.group, present, values);
  }
}

constexpr int kNormAddThreads = 256;

MICA_DEVICE void norm_add(const NormAddKernelArgs& args) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const int64_t from = static_cast<int64_t>(block_x()) * args.cols;
  float* x = args.x + from;
  const RowNorm norm = measure_row(args.norm, x, args.cols, scratch);
  for (int i = thread_index(); i < args.cols; i += block_threads()) {
    const float y = apply_norm(norm, x[i], i);
    x[i] = y;
    args.residual[from + i] = fma_rn(args.scale, y, args.residual[from + i]);
  }
}

}  // namespace mica::cuda
