// Attention of some query rows to one piece of the positions, in two passes: all scores, then the
// softmax's numerators and their sums of values. Pieces are merged in order (online softmax,
// arXiv:1805.02867).
//
// Every sum is one chain for each row, over channels or positions in ascending order, whatever rows
// stand beside it: a row's bits depend on nothing but its own query and the positions before it.
// Positions that it does not see have a score of minus infinity and weigh exactly 0; their values
// are not read for it.
#pragma once

#include "backends/cpu/kernels/attention_scores.h"
#include "backends/cpu/kernels/attention_values.h"

namespace mica::cpu {
namespace {

MICA_NOINLINE void cap_scores(const AttentionTile& tile, int64_t begin, int64_t end,
                              float* scores) {
  for (int64_t r = 0; r < tile.tokens * tile.heads; ++r, scores += kPiecePositions) {
    for (int64_t p = begin; p < end; p += kLanes) {
      store(scores + p, soft_cap(load<Floats>(scores + p), tile.softcap * kLog2E));
    }
  }
}

// Scores of positions [begin, end), multiples of a block, to 2^(score - largest) where the row sees
// them and 0 elsewhere.
MICA_INLINE void weigh_row(float* scores, int64_t begin, int64_t end, const Sight& seen,
                           float& row_largest, float& row_sum) {
  for (int64_t p = begin; p < seen.first; ++p) scores[p] = -__builtin_inff();
  for (int64_t p = seen.last; p < end; ++p) scores[p] = -__builtin_inff();
  Floats top = load<Floats>(scores + begin);
  for (int64_t p = begin + kLanes; p < end; p += kLanes) top = max(top, load<Floats>(scores + p));
  row_largest = largest(top);
  top = splat<Floats>(row_largest);
  Floats total{};
  for (int64_t p = begin; p < end; p += kLanes) {
    const Floats weight = exp2(load<Floats>(scores + p) - top);
    store(scores + p, weight);
    total = total + weight;
  }
  row_sum = sum(total);
}

template <KvFormat kFormat>
MICA_INLINE void attend_in(const AttentionTile& tile, int64_t begin, int64_t end,
                           const AttentionScratch& scratch, const AttentionState& state) {
  // Blocks before the first token's window are left out.
  const int64_t first = sight(tile, 0, begin, end).first / kBlockTokens * kBlockTokens;
  const int64_t last = (end - begin + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
  score_blocks<kFormat>(tile, begin, first, last, scratch);
  if (tile.softcap != 0) cap_scores(tile, first, last, scratch.scores);
  for (int64_t r = 0; r < tile.tokens * tile.heads; ++r) {
    weigh_row(scratch.scores + r * kPiecePositions, first, last,
              sight(tile, r / tile.heads, begin, end), state.largest[r], state.sum[r]);
  }
  add_values<kFormat>(tile, begin, first, end, scratch, state.out);
}

void attend(const AttentionTile& tile, int64_t begin, int64_t end, const AttentionScratch& scratch,
            const AttentionState& state) {
  switch (tile.format) {
    case KvFormat::kF16:
      return attend_in<KvFormat::kF16>(tile, begin, end, scratch, state);
    case KvFormat::kBF16:
      return attend_in<KvFormat::kBF16>(tile, begin, end, scratch, state);
    case KvFormat::kF32:
      return attend_in<KvFormat::kF32>(tile, begin, end, scratch, state);
    case KvFormat::kInt8:
      return attend_in<KvFormat::kInt8>(tile, begin, end, scratch, state);
  }
}

void merge_piece(int64_t rows, int64_t head_size, const AttentionState& piece,
                 const AttentionState& state) {
  const int64_t stride = padded_head(head_size);
  for (int64_t r = 0; r < rows; ++r) {
    if (piece.largest[r] == -__builtin_inff()) continue;
    const float top = state.largest[r] > piece.largest[r] ? state.largest[r] : piece.largest[r];
    const Floats old_factor = exp2(splat<Floats>(state.largest[r] - top));
    const Floats new_factor = exp2(splat<Floats>(piece.largest[r] - top));
    float factor[2][kLanes];
    store(factor[0], old_factor);
    store(factor[1], new_factor);
    state.largest[r] = top;
    state.sum[r] = state.sum[r] * factor[0][0] + piece.sum[r] * factor[1][0];
    for (int64_t c = r * stride; c < (r + 1) * stride; c += kLanes) {
      store(state.out + c,
            load<Floats>(state.out + c) * old_factor + load<Floats>(piece.out + c) * new_factor);
    }
  }
}

void finish_attention(const AttentionTile& tile, const AttentionState& state, float* out,
                      int64_t out_stride) {
  const int64_t stride = padded_head(tile.head_size);
  for (int64_t t = 0; t < tile.tokens; ++t) {
    for (int64_t h = 0; h < tile.heads; ++h) {
      const int64_t r = t * tile.heads + h;
      const Floats factor = splat<Floats>(1.0f / state.sum[r]);
      float* to = out + t * out_stride + h * tile.head_size;
      for_lanes(tile.head_size, [&](int64_t c, int count) {
        store_up_to(to + c, count, load<Floats>(state.out + r * stride + c) * factor);
      });
    }
  }
}

}  // namespace
}  // namespace mica::cpu
