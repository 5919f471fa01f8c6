// Products of one to eight tokens, bound by reading the weights once. One block a panel of 16 rows.
//
// Streaming warps: a lane takes units of 4 rows x 32 k, in loads of 16 bytes of which at least four
// are under way, and of the next unit while it computes. Four lanes beside each other hold the 16
// rows of a unit, so that a warp reads whole lines. The exact integer of a group comes from one
// lane, or for groups of 64 and 128 from lanes 4 and 8 apart, and becomes the x of quant/README.md,
// "Products", in shared memory.
//
// Chain warps: one thread an output adds up the groups in order, as the norm says, while the
// streaming warps are at the next round.
#pragma once

#include "backends/cuda/kernels/finish.h"
#include "backends/cuda/kernels/panel_code.h"

namespace mica::cuda {

constexpr int stream_warps(int columns) {
  return columns == 8 ? 4 : 8;
}
constexpr int chain_threads(int columns) {
  return columns < 2 ? 32 : 16 * columns;
}
constexpr int stream_threads(int columns) {
  return 32 * stream_warps(columns) + chain_threads(columns);
}

// One round's groups: x [groups][columns][16], ws [groups][16], for kQ4m minimums [groups][16] and
// x' [groups][columns].
constexpr int round_floats(Format format, int columns) {
  const int groups = 8 * stream_warps(columns);  // of the smallest size
  const int minimum = format == Format::kQ4m ? kPanel + columns : 0;
  return groups * (kPanel * columns + kPanel + minimum);
}
constexpr int stream_shared(Format format, int columns) {
  return (2 * round_floats(format, columns) + kPanel * columns) * 4;
}

template <Format kFormat, int kColumns>
struct StreamKernel {
  static constexpr int kLines = unit_lines(kFormat);
  static constexpr int kUnits = 8 * stream_warps(kColumns);  // of a round
  static constexpr int kPass = kColumns < 4 ? kColumns : 4;
  static constexpr bool kHasMinimum = kFormat == Format::kQ4m;

  struct Weights {
    Words4 lines[kLines];  // 4 rows each
  };
  struct Round {
    float* x;
    float* factors;
    float* minimums;
    float* minimum_x;
  };

  const StreamArgs& args;
  const Matrix& matrix;
  const std::byte* slab;
  int units;  // of a row
  int parts;  // units of a group

  MICA_DEVICE_MEMBER Round round_memory(int round) const {
    auto* memory =
        reinterpret_cast<float*>(shared_memory()) + (round & 1) * round_floats(kFormat, kColumns);
    float* factors = memory + kUnits * kColumns * kPanel;
    float* minimums = factors + kUnits * kPanel;
    return {memory, factors, minimums, minimums + kUnits * kPanel};
  }

  MICA_DEVICE_MEMBER int unit_of(int round) const {
    return round * kUnits + warp() * 8 + lane() / 4;
  }

  MICA_DEVICE_MEMBER void load(int round, Weights& weights) const {
    const int unit = unit_of(round);
    const std::byte* from = slab + static_cast<int64_t>(unit) * kLines * kLine + lane() % 4 * 16;
    MICA_UNROLL
    for (int i = 0; i < kLines; ++i) {
      weights.lines[i] = unit < units ? stream128(from + i * kLine) : Words4{0, 0, 0, 0};
    }
  }

  // dot[r][c] of one line: the four words are rows.
  MICA_DEVICE_MEMBER static void add_line(const Words4& line, const uint32_t (&inputs)[8], int i,
                                          int (&dots)[4]) {
    const uint32_t words[4] = {line.x, line.y, line.z, line.w};
    MICA_UNROLL
    for (int r = 0; r < 4; ++r) {
      if constexpr (kFormat == Format::kQ8) {
        dots[r] = dot_bytes(words[r] ^ 0x80808080u, inputs[i], dots[r]);
      } else {
        dots[r] = dot_bytes(words[r] & 0x0f0f0f0fu, inputs[2 * i], dots[r]);
        dots[r] = dot_bytes(words[r] >> 4 & 0x0f0f0f0fu, inputs[2 * i + 1], dots[r]);
      }
    }
  }

  // Four columns at a time: more would not leave registers for the loads under way.
  MICA_DEVICE_MEMBER void compute(int round, const Weights& weights) const {
#pragma unroll 1
    for (int first = 0; first < kColumns; first += kPass) compute_columns(round, weights, first);
  }

  MICA_DEVICE_MEMBER int column_of(int c) const {
    return c < args.tokens ? c : args.tokens - 1;
  }

  MICA_DEVICE_MEMBER void compute_columns(int round, const Weights& weights, int first) const {
    const int unit = unit_of(round), quad = lane() % 4;
    int dots[kPass][4] = {};
    if (unit < units) {
      MICA_UNROLL
      for (int c = 0; c < kPass; ++c) {
        const int8_t* codes =
            args.input.codes + int64_t{column_of(first + c)} * matrix.cols + unit * kUnit;
        const Words4 low = load128(codes), high = load128(codes + 16);
        const uint32_t inputs[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        MICA_UNROLL
        for (int i = 0; i < kLines; ++i) add_line(weights.lines[i], inputs, i, dots[c]);
      }
    }
    for (int mask = 4; mask < 4 * parts; mask *= 2) {
      MICA_UNROLL
      for (int c = 0; c < kPass; ++c) {
        MICA_UNROLL
        for (int r = 0; r < 4; ++r) dots[c][r] += shuffle_xor(dots[c][r], mask);
      }
    }
    if (unit < units && unit % parts == 0) store_group(round, unit / parts, quad, first, dots);
  }

  MICA_DEVICE_MEMBER void store_group(int round, int group, int quad, int first,
                                      const int (&dots)[kPass][4]) const {
    const Round memory = round_memory(round);
    const int groups = units / parts, place = group - round * (kUnits / parts);
    const int64_t at = int64_t{group} * kPanel + 4 * quad;
    const std::byte* scales = slab + code_bytes(matrix);
    const std::byte* offsets = scales + int64_t{groups} * kPanel * 2;
    const Words2 halves = load64(scales + 2 * at);
    const uint32_t scale_bits[4] = {halves.x & 0xffffu, halves.x >> 16, halves.y & 0xffffu,
                                    halves.y >> 16};
    uint32_t zeros = 0;
    if constexpr (kFormat == Format::kQ4) {
      zeros = matrix.format == Format::kQ4s ? kQ4sZeros
                                            : *reinterpret_cast<const uint32_t*>(offsets + at);
    }
    MICA_UNROLL
    for (int r = 0; r < 4; ++r) {
      memory.factors[place * kPanel + 4 * quad + r] = factor_of<kFormat>(scale_bits[r]);
    }
    if constexpr (kHasMinimum) {
      MICA_UNROLL
      for (int r = 0; r < 4; ++r) {
        memory.minimums[place * kPanel + 4 * quad + r] =
            half_to_float(load_half(offsets + 2 * (at + r)));
      }
    }
    MICA_UNROLL
    for (int c = 0; c < kPass; ++c) {
      const int column = column_of(first + c);
      const float scale = args.input.scales[int64_t{column} * groups + group];
      const int sum = args.input.sums[int64_t{column} * groups + group];
      MICA_UNROLL
      for (int r = 0; r < 4; ++r) {
        int exact = dots[c][r];
        if constexpr (kFormat == Format::kQ4) {
          exact = 8 * exact - static_cast<int>(zeros >> (8 * r) & 255u) * sum;
        }
        memory.x[(place * kColumns + first + c) * kPanel + 4 * quad + r] =
            mul_rn(static_cast<float>(exact), scale);
      }
      if constexpr (kHasMinimum) {
        if (quad == 0)
          memory.minimum_x[place * kColumns + first + c] = mul_rn(static_cast<float>(sum), scale);
      }
    }
  }

  MICA_DEVICE_MEMBER float chain(int round, int row, int column, float y) const {
    const Round memory = round_memory(round);
    const int a_round = kUnits / parts, left = units / parts - round * a_round;
    const int groups = left < a_round ? left : a_round;
#pragma unroll 8
    for (int g = 0; g < groups; ++g) {
      const float x = memory.x[(g * kColumns + column) * kPanel + row];
      y = fma_rn(x, memory.factors[g * kPanel + row], y);
      if constexpr (kHasMinimum) {
        y = fma_rn(memory.minimum_x[g * kColumns + column], memory.minimums[g * kPanel + row], y);
      }
    }
    return y;
  }

  MICA_DEVICE_MEMBER void run(const End& end, int panel) const {
    constexpr int kStreamers = 32 * stream_warps(kColumns);
    const int rounds = (units + kUnits - 1) / kUnits;
    const bool streams = thread_index() < kStreamers;
    const int output = thread_index() - kStreamers, row = output % kPanel, column = output / kPanel;
    const bool chains = !streams && output < kPanel * kColumns;
    Weights next;
    if (streams) load(0, next);
    float y = 0;
    for (int round = 0; round <= rounds; ++round) {
      if (streams && round < rounds) {
        const Weights now = next;
        if (round + 1 < rounds) load(round + 1, next);
        compute(round, now);
      }
      if (chains && round > 0) y = chain(round - 1, row, column, y);
      sync_block();
    }
    if (args.two_parts) {
      float* sums = reinterpret_cast<float*>(shared_memory()) + 2 * round_floats(kFormat, kColumns);
      if (chains) sums[output] = y;
      sync_block();
      const int half = args.tokens / 2;
      if (chains && column < half) y = add_rn(y, sums[output + half * kPanel]);
    }
    const int n = panel * kPanel + row, tokens = args.two_parts ? args.tokens / 2 : args.tokens;
    if (chains && column < tokens && n < matrix.rows) finish(end, column, n, y);
  }
};

template <Format kFormat, int kColumns>
MICA_DEVICE void stream(const StreamArgs& args) {
  int index = 0;
  while (index + 1 < args.count && block_x() >= args.targets[index + 1].first_panel) ++index;
  const StreamTarget& target = args.targets[index];
  const int panel = block_x() - target.first_panel;
  const Matrix& matrix = target.matrix;
  const StreamKernel<kFormat, kColumns> kernel{args, matrix, matrix.data + panel * matrix.stride,
                                               matrix.cols / kUnit, matrix.group / kUnit};
  kernel.run(target.end, panel);
}

}  // namespace mica::cuda
