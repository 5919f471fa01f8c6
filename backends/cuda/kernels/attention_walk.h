// Attention of a tile of query rows to the cache, in pieces of 128 positions counted from position
// 0.
//
// A tile holds up to kRows rows: all query heads of one kv head of one token, or of several
// consecutive tokens. Keys and values are read once a tile. A piece gives each row its largest
// score m, the sum l of weights 2^(score - m) and the weighted values; pieces are merged in order,
// either here, when a block walks all of them, or by attention_merge.h, when the grid's z divides
// them. Each row's operations are the same whatever rows share its tile and whoever merges, so that
// results do not depend on how tokens are split into steps, nor on the division of positions.
//
//   scores   thread = position: words of 16 positions side by side, q broadcast from shared memory
//   weights  warp = row
//   values   thread = a word of channels, positions in turn; partial sums are added in a fixed
//   order
#pragma once

#include "backends/cuda/kernels/coded_input.h"
#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/kv_place.h"
#include "backends/cuda/kernels/merge_pieces.h"
#include "backends/cuda/kernels/reduce.h"

namespace mica::cuda {

constexpr int kAttentionThreads = kPiece;

// Threads side by side that hold a position's words of values, a power of two; the other threads
// are groups of positions.
constexpr int value_lanes(int words) {
  int lanes = 1;
  while (lanes < words && lanes < kAttentionThreads) lanes *= 2;
  return lanes;
}
struct AttentionMemory {
  int q, weights, sums, out, states, total;  // offsets in floats
};
constexpr AttentionMemory attention_memory(CacheType type, int rows, int size) {
  const int words = size / channels_a_word(type);
  const int groups = kAttentionThreads / value_lanes(words);
  AttentionMemory at{};
  at.weights = rows * size;                 // q: [E][rows], or codes [E / 4][rows]
  at.sums = at.weights + kPiece * rows;     // weights: [piece][rows]
  at.out = at.sums + groups * rows * size;  // sums: [groups][rows][E]
  at.states = at.out + rows * size;         // out: [rows][E]
  at.total = at.states + 8 * rows;          // m, l of the piece and merged; q's scale
  return at;
}

template <CacheType kType, int kRows>
struct AttentionKernel {
  static constexpr int kChannels = channels_a_word(kType);
  static constexpr bool kIsInt8 = kType == CacheType::kInt8;
  static constexpr int kBatch = 8;  // words of keys, positions of values under way

  const AttentionKernelArgs& args;
  AttentionTile tile;
  int kv_head, first_head, heads;  // heads of the tile
  int size, words, rows;
  float *q, *weights, *sums, *out, *states;

  MICA_DEVICE_MEMBER int position_of(int row) const { return tile.position + row / heads; }
  // Positions [first, last) that a row sees.
  MICA_DEVICE_MEMBER int last_of(int row) const { return position_of(row) + 1; }
  MICA_DEVICE_MEMBER int first_of(int row) const {
    const int64_t first = int64_t{last_of(row)} - args.window;
    return first > 0 ? static_cast<int>(first) : 0;
  }
  MICA_DEVICE_MEMBER int64_t index_of(int row) const {  // in [T, H]
    return int64_t{tile.row + row / heads} * args.heads + first_head + row % heads;
  }
  MICA_DEVICE_MEMBER int block_of(int position) const {
    return args.tables[tile.table + position / kCacheBlock];
  }

  MICA_DEVICE_MEMBER void load_queries() const {
    if constexpr (kIsInt8) {
      for (int r = warp(); r < kRows; r += kAttentionThreads / 32) code_query(r);
    } else {
      for (int i = thread_index(); i < kRows * size; i += kAttentionThreads) {
        const int r = i / size, c = i % size;
        q[c * kRows + r] = r < rows ? mul_rn(args.q[index_of(r) * size + c], args.factor) : 0;
      }
    }
  }
  MICA_DEVICE_MEMBER void code_query(int r) const {
    const float* from = args.q + (r < rows ? index_of(r) : 0) * size;
    int largest = 0;
    for (int c = lane(); c < size; c += 32) {
      const int bits = magnitude_bits(mul_rn(from[c], args.factor));
      largest = bits > largest ? bits : largest;
    }
    const float scale = choose_scale(lanes_max(largest, 32)), inverse = invert_scale(scale);
    for (int w = lane(); w < size / 4; w += 32) {
      uint32_t word = 0;
      for (int i = 0; i < 4; ++i) {
        const int code = code_of(mul_rn(from[4 * w + i], args.factor), inverse);
        word |= (static_cast<uint32_t>(code) & 255u) << (8 * i);
      }
      q[w * kRows + r] = as_float(word);
    }
    if (lane() == 0) states[4 * kRows + r] = scale;
  }

  MICA_DEVICE_MEMBER static void widen(uint32_t word, float (&channels)[kChannels]) {
    if constexpr (kType == CacheType::kF32) {
      channels[0] = as_float(word);
    } else if constexpr (kType == CacheType::kF16) {
      channels[0] = half_to_float(word & 0xffffu), channels[1] = half_to_float(word >> 16);
    } else if constexpr (kType == CacheType::kBF16) {
      channels[0] = as_float(word << 16), channels[1] = as_float(word & 0xffff0000u);
    } else {
      MICA_UNROLL
      for (int i = 0; i < 4; ++i) {
        channels[i] = static_cast<float>(static_cast<int8_t>(word >> (8 * i) & 255u));
      }
    }
  }

  // scores of the thread's position, all rows
  MICA_DEVICE_MEMBER void dot_keys(const std::byte* keys, int p, float (&scores)[kRows]) const {
    const uint32_t* from = reinterpret_cast<const uint32_t*>(keys) + p;
    int exact[kRows] = {};
    for (int first = 0; first < words; first += kBatch) {
      uint32_t loaded[kBatch];
      MICA_UNROLL
      for (int i = 0; i < kBatch; ++i) {
        loaded[i] = first + i < words ? from[(first + i) * kCacheBlock] : 0;
      }
      MICA_UNROLL
      for (int i = 0; i < kBatch; ++i) {
        if (first + i >= words) break;
        if constexpr (kIsInt8) {
          MICA_UNROLL
          for (int r = 0; r < kRows; ++r) {
            exact[r] =
                dot_bytes(loaded[i] ^ 0x80808080u, as_bits(q[(first + i) * kRows + r]), exact[r]);
          }
        } else {
          float channels[kChannels];
          widen(loaded[i], channels);
          MICA_UNROLL
          for (int j = 0; j < kChannels; ++j) {
            MICA_UNROLL
            for (int r = 0; r < kRows; ++r) {
              scores[r] =
                  fma_rn(q[((first + i) * kChannels + j) * kRows + r], channels[j], scores[r]);
            }
          }
        }
      }
    }
    if constexpr (kIsInt8) {
      const float scale = reinterpret_cast<const float*>(keys + args.cache.elements_bytes)[p];
      MICA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        scores[r] = mul_rn(mul_rn(static_cast<float>(exact[r]), states[4 * kRows + r]), scale);
      }
    }
  }

  // weights: scores of the piece, -infinity where a row does not see the position.
  MICA_DEVICE_MEMBER void score(int piece, int first, int last) const {
    const int position = piece * kPiece + thread_index();
    float scores[kRows] = {};
    const bool seen = position >= first && position < last;
    if (seen)
      dot_keys(keys_of(args.cache, block_of(position), kv_head), position % kCacheBlock, scores);
    MICA_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const bool visible = seen && r < rows && position >= first_of(r) && position < last_of(r);
      weights[thread_index() * kRows + r] =
          visible ? soft_cap(scores[r], args.cap) : as_float(0xff800000u);
    }
  }

  // Scores become weights; m and l of the piece.
  MICA_DEVICE_MEMBER void weigh() const {
    for (int r = warp(); r < kRows; r += kAttentionThreads / 32) {
      float scores[kPiece / 32];
      float largest = as_float(0xff800000u);
      bool is_bad = false;
      MICA_UNROLL
      for (int i = 0; i < kPiece / 32; ++i) {
        scores[i] = weights[(lane() + 32 * i) * kRows + r];
        largest = scores[i] > largest ? scores[i] : largest;
        is_bad |= scores[i] != scores[i];
      }
      largest = warp_max(largest);
      float sum = 0;
      MICA_UNROLL
      for (int i = 0; i < kPiece / 32; ++i) {
        const bool is_masked = scores[i] == as_float(0xff800000u);
        const float weight = is_masked ? 0 : exp_2(add_rn(scores[i], -largest));
        weights[(lane() + 32 * i) * kRows + r] = weight;
        sum = add_rn(sum, weight);
      }
      if (is_bad) sum = as_float(0x7fc00000u);
      sum = warp_sum(sum);
      if (lane() == 0) states[r] = largest, states[kRows + r] = sum;
    }
  }

  // sums: [groups][rows][E], each group's positions in order.
  MICA_DEVICE_MEMBER void add_values(int piece, int first, int last) const {
    const int lanes = value_lanes(words), groups = kAttentionThreads / lanes;
    const int group = thread_index() / lanes;
    for (int word = thread_index() % lanes; word < words; word += lanes) {
      float acc[kRows][kChannels] = {};
      for (int begin = group; begin < kPiece; begin += groups * kBatch) {
        uint32_t loaded[kBatch];
        float scales[kBatch];
        MICA_UNROLL
        for (int i = 0; i < kBatch; ++i) {
          const int position = piece * kPiece + begin + i * groups;
          loaded[i] = 0, scales[i] = 0;
          if (begin + i * groups >= kPiece || position < first || position >= last) continue;
          const std::byte* values = values_of(args.cache, block_of(position), kv_head);
          const int p = position % kCacheBlock;
          loaded[i] = reinterpret_cast<const uint32_t*>(values)[p * words + word];
          if constexpr (kIsInt8) {
            scales[i] = reinterpret_cast<const float*>(values + args.cache.elements_bytes)[p];
          }
        }
        MICA_UNROLL
        for (int i = 0; i < kBatch; ++i) {
          if (begin + i * groups >= kPiece) break;
          float channels[kChannels];
          widen(loaded[i], channels);
          const float* weight = weights + (begin + i * groups) * kRows;
          MICA_UNROLL
          for (int j = 0; j < kChannels; ++j) {
            if constexpr (kIsInt8) channels[j] = mul_rn(channels[j], scales[i]);
            MICA_UNROLL
            for (int r = 0; r < kRows; ++r) acc[r][j] = fma_rn(weight[r], channels[j], acc[r][j]);
          }
        }
      }
      MICA_UNROLL
      for (int r = 0; r < kRows; ++r) {
        MICA_UNROLL
        for (int j = 0; j < kChannels; ++j) {
          sums[(group * kRows + r) * size + word * kChannels + j] = acc[r][j];
        }
      }
    }
  }

  MICA_DEVICE_MEMBER float piece_sum(int r, int c) const {
    const int groups = kAttentionThreads / value_lanes(words);
    float sum = sums[r * size + c];
    for (int g = 1; g < groups; ++g) sum = add_rn(sum, sums[(g * kRows + r) * size + c]);
    return sum;
  }

  MICA_DEVICE_MEMBER bool sees(int row, int piece) const {
    return first_of(row) < (piece + 1) * kPiece && last_of(row) > piece * kPiece;
  }

  // m and l merged: states[2 kRows..], states[3 kRows..]
  MICA_DEVICE_MEMBER void merge(int piece) const {
    for (int i = thread_index(); i < rows * size; i += kAttentionThreads) {
      const int r = i / size;
      if (!sees(r, piece)) continue;
      const MergeStep step =
          merge_step(piece == first_of(r) / kPiece, states[2 * kRows + r], states[r]);
      out[i] = merge_value(step, out[i], piece_sum(r, i % size));
    }
    sync_block();
    const int r = thread_index();
    if (r < rows && sees(r, piece)) {
      const MergeStep step =
          merge_step(piece == first_of(r) / kPiece, states[2 * kRows + r], states[r]);
      states[3 * kRows + r] = merge_value(step, states[3 * kRows + r], states[kRows + r]);
      states[2 * kRows + r] = step.largest;
    }
    sync_block();
  }

  MICA_DEVICE_MEMBER void write_piece(int piece) const {
    for (int i = thread_index(); i < rows * size; i += kAttentionThreads) {
      const int r = i / size, c = i % size;
      if (!sees(r, piece)) continue;
      float* to = args.partial + (index_of(r) * args.pieces + piece) * (size + 2);
      to[2 + c] = piece_sum(r, c);
      if (c == 0) to[0] = states[r], to[1] = states[kRows + r];
    }
    sync_block();
  }

  MICA_DEVICE_MEMBER void run() const {
    load_queries();
    sync_block();
    const int first = first_of(0), last = last_of(rows - 1);
    for (int piece = first / kPiece + block_z(); piece * kPiece < last; piece += grid_z()) {
      score(piece, first, last);
      sync_block();
      weigh();
      sync_block();
      add_values(piece, first, last);
      sync_block();
      if (args.partial) {
        write_piece(piece);
      } else {
        merge(piece);
      }
    }
    if (args.partial) return;
    for (int i = thread_index(); i < rows * size; i += kAttentionThreads) {
      const int r = i / size;
      args.out[index_of(r) * size + i % size] = div_rn(out[i], states[3 * kRows + r]);
    }
  }
};

// Grid: x tiles, y kv heads times their tiles of heads, z divisions of the positions.
template <CacheType kType, int kRows>
MICA_DEVICE void attention(const AttentionKernelArgs& args) {
  const int size = args.cache.head_size;
  const AttentionMemory at = attention_memory(kType, kRows, size);
  auto* memory = reinterpret_cast<float*>(shared_memory());
  const AttentionTile tile = args.tiles[block_x()];
  const int heads_a_kv_head = args.heads / args.cache.kv_heads;
  const int kv_head = block_y() / args.tiles_a_kv_head;
  const int begin = block_y() % args.tiles_a_kv_head * args.heads_a_tile;
  const int left = heads_a_kv_head - begin;
  const int heads = left < args.heads_a_tile ? left : args.heads_a_tile;
  const AttentionKernel<kType, kRows> kernel{args,
                                             tile,
                                             kv_head,
                                             kv_head * heads_a_kv_head + begin,
                                             heads,
                                             size,
                                             size / channels_a_word(kType),
                                             tile.tokens * heads,
                                             memory,
                                             memory + at.weights,
                                             memory + at.sums,
                                             memory + at.out,
                                             memory + at.states};
  kernel.run();
}

}  // namespace mica::cuda
