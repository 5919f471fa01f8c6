// Pieces of attention put together in order: out = sum of 2^(m_i - m) out_i, likewise l.
#pragma once

#include "backends/cuda/kernels/args.h"

namespace mica::cuda {

struct MergeStep {
  bool is_first;
  float largest;  // m of both
  float old_factor;
  float new_factor;
};

MICA_DEVICE MergeStep merge_step(bool is_first, float old_largest, float new_largest) {
  if (is_first) return {true, new_largest, 0, 1};
  const float largest = old_largest > new_largest ? old_largest : new_largest;
  return {false, largest, exp_2(add_rn(old_largest, -largest)),
          exp_2(add_rn(new_largest, -largest))};
}
MICA_DEVICE float merge_value(const MergeStep& step, float old_value, float new_value) {
  if (step.is_first) return new_value;
  return fma_rn(old_value, step.old_factor, mul_rn(new_value, step.new_factor));
}

constexpr int kMergeThreads = 128;

// Grid: x tokens, y heads.
MICA_DEVICE void merge_pieces(const MergeArgs& args) {
  const int64_t row = static_cast<int64_t>(block_x()) * args.heads + block_y();
  if (args.places[block_x()].block < 0) return;
  const int64_t last = int64_t{args.places[block_x()].position} + 1;
  const int64_t first = last > args.window ? last - args.window : 0;
  const int first_piece = static_cast<int>(first / kPiece);
  const int last_piece = static_cast<int>((last - 1) / kPiece);
  const int stride = args.head_size + 2;
  for (int c = thread_index(); c < args.head_size; c += block_threads()) {
    float largest = 0, sum = 0, value = 0;
    for (int piece = first_piece; piece <= last_piece; ++piece) {
      const float* from = args.partial + (row * args.pieces + piece) * stride;
      const MergeStep step = merge_step(piece == first_piece, largest, from[0]);
      value = merge_value(step, value, from[2 + c]);
      sum = merge_value(step, sum, from[1]);
      largest = step.largest;
    }
    args.out[row * args.head_size + c] = div_rn(value, sum);
  }
}

}  // namespace mica::cuda
