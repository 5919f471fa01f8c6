// The normative epilogue of a group (quant/README.md, "Products"), for 16 rows of one token.
//
// An accumulator starts at start_sums(), takes the products of the group's codes and goes through
// add_group(), which gives x = D * as and y = fma(x, ws, y).
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

// How codes become D; the types of quant/, and what they become when unpacked to bytes.
enum class Grid {
  kQ4,   // 8 * sum(code * a) - zero * sum(a)
  kQ4s,  // sum((code - 8) * a)
  kQ4m,  // sum(code * a), and a minimum
  kQ8,   // sum((code - 128) * a)
  // sum(w * a), w in the bytes that add_bytes() takes
  kBytes,
  kBytesM,  // the same, and a minimum
};

// f.operator()<kGrid>() of the format's grid.
template <class F>
MICA_INLINE void with_grid(Format format, const F& f) {
  switch (format) {
    case Format::kQ4:
      return f.template operator()<Grid::kQ4>();
    case Format::kQ4s:
      return f.template operator()<Grid::kQ4s>();
    case Format::kQ4m:
      return f.template operator()<Grid::kQ4m>();
    case Format::kQ8:
      return f.template operator()<Grid::kQ8>();
  }
}

constexpr bool has_bytes(Grid grid) {
  return grid == Grid::kQ8 || grid == Grid::kBytes || grid == Grid::kBytesM;
}
constexpr bool has_minimum(Grid grid) {
  return grid == Grid::kQ4m || grid == Grid::kBytesM;
}
constexpr int offset_bytes(Grid grid) {
  return grid == Grid::kQ4 ? 1 : grid == Grid::kQ4m ? 2 : 0;
}

// Scale and offset of 16 rows.
template <Grid kGrid>
struct Terms {
  Floats scale;   // ws
  Ints zero;      // kQ4
  Floats offset;  // kQ4: zero; kQ4m, kBytesM: the minimum
};

// The planes of a slab after its codes.
struct Planes {
  const std::byte* scales;   // [K / group][16] f16
  const std::byte* offsets;  // [K / group][16]
};
template <Grid kGrid>
MICA_INLINE Planes find_planes(const std::byte* slab, int64_t cols, int group) {
  const std::byte* scales = slab + cols * (has_bytes(kGrid) ? 16 : 8);
  return {scales, scales + cols / group * 2 * kLanes};
}

template <Grid kGrid>
MICA_INLINE Terms<kGrid> load_terms(const Planes& planes, int64_t group_index) {
  Terms<kGrid> terms;
  terms.scale = load_halves(planes.scales + group_index * 2 * kLanes);
  const std::byte* offsets = planes.offsets + group_index * offset_bytes(kGrid) * kLanes;
  if constexpr (kGrid == Grid::kQ4) {
    terms.scale = terms.scale * splat<Floats>(0.125f);
    terms.zero = load_bytes(offsets);
    terms.offset = to_floats(terms.zero);
  }
  if constexpr (has_minimum(kGrid)) terms.offset = load_halves(offsets);
  return terms;
}

// What sums of kQ4 are multiplied by as they are formed; what is missing of 8 is shifted.
template <Grid kGrid>
constexpr int kFactor = kGrid == Grid::kQ4 ? kQ4Factor : 1;

template <Grid kGrid>
MICA_INLINE Ints start_sums(const InputGroup& input) {
  switch (kGrid) {
    case Grid::kQ4:
      return kQ4Factor == 8 ? splat<Ints>(kMagicBits) : Ints{};
    case Grid::kQ4s:
      return splat<Ints>(input.start8);
    case Grid::kQ4m:
      return splat<Ints>(kMagicBits);
    case Grid::kQ8:
    case Grid::kBytes:
    case Grid::kBytesM:
      return splat<Ints>(kByteBias == 128 ? input.start128 : kMagicBits);
  }
}

// y = fma(x, ws, y), and the minimum.
template <Grid kGrid>
MICA_INLINE Floats add_scaled(const Floats& x, const Terms<kGrid>& terms, const InputGroup& input,
                              const Floats& y) {
  const Floats total = fma(x, terms.scale, y);
  if constexpr (!has_minimum(kGrid)) return total;
  return fma(splat<Floats>(input.scaled_sum), terms.offset, total);
}

template <Grid kGrid>
MICA_INLINE Floats add_group(Ints sums, const Terms<kGrid>& terms, const InputGroup& input,
                             const Floats& y) {
  if constexpr (kGrid == Grid::kQ4) {
    if constexpr (kQ4Factor == 1) sums = (sums << 3) + splat<Ints>(kMagicBits);
    // Floats of kMagic's size: exact, with one rounding or two.
    sums = as<Ints>(multiply_add(splat<Floats>(input.minus_sum), terms.offset, as<Floats>(sums)));
  }
  return add_scaled(scale_sums(sums, input.scale, input.magic), terms, input, y);
}

// The same for sums that started at 0: D itself.
template <Grid kGrid>
MICA_INLINE Floats add_plain_group(const Ints& sums, const Terms<kGrid>& terms,
                                   const InputGroup& input, const Floats& y) {
  return add_scaled(to_floats(sums) * splat<Floats>(input.scale), terms, input, y);
}

// Bytes of bias 128 as add_bytes() takes them.
MICA_INLINE Words rebias(const Words& bytes) {
  return kByteBias == 0 ? bytes ^ 0x80808080u : bytes;
}

// Adds the products of 32 k in 8 unpacked lines of 16 rows x 4 k.
template <Grid kGrid, int kPanels, int kTokens>
MICA_INLINE void add_unpacked_32(const std::byte* const (&lines)[kPanels],
                                 const int8_t* const (&a)[kTokens],
                                 Ints (&sums)[kPanels][kTokens]) {
  CodeSums partial[kPanels][kTokens];
#pragma GCC unroll 8
  for (int step = 0; step < 8; ++step) {
    Words codes[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      const Words line = load<Words>(lines[p] + 64 * step);
      codes[p] = kGrid == Grid::kQ8 ? rebias(line) : line;
    }
    for (int t = 0; t < kTokens; ++t) {
      const Quad quad = load_quad(a[t] + 4 * step);
      for (int p = 0; p < kPanels; ++p) {
        if constexpr (has_bytes(kGrid)) {
          add_bytes(sums[p][t], codes[p], quad);
        } else if (step == 0) {
          partial[p][t] = begin_codes(sums[p][t], codes[p], quad);
        } else {
          add_codes(partial[p][t], codes[p], quad);
        }
      }
    }
  }
  if constexpr (has_bytes(kGrid)) return;
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) sums[p][t] = end_codes<kFactor<kGrid>>(partial[p][t]);
  }
}

// Adds the products of 32 k as they lie in a slab: 4-bit codes in 4 lines of 16 rows x 8 k.
template <Grid kGrid, int kPanels, int kTokens>
MICA_INLINE void add_packed_32(const std::byte* const (&lines)[kPanels],
                               const int8_t* const (&a)[kTokens], Ints (&sums)[kPanels][kTokens]) {
  if constexpr (has_bytes(kGrid)) return add_unpacked_32<kGrid>(lines, a, sums);
  CodeSums partial[kPanels][kTokens];
#pragma GCC unroll 4
  for (int step = 0; step < 4; ++step) {
    Words low[kPanels], high[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      const Words line = load<Words>(lines[p] + 64 * step);
      low[p] = line & 0x0f0f0f0fu;
      high[p] = (line >> 4) & 0x0f0f0f0fu;
    }
    for (int t = 0; t < kTokens; ++t) {
      const Quad first = load_quad(a[t] + 8 * step), second = load_quad(a[t] + 8 * step + 4);
      for (int p = 0; p < kPanels; ++p) {
        if (step == 0) {
          partial[p][t] = begin_codes(sums[p][t], low[p], first);
        } else {
          add_codes(partial[p][t], low[p], first);
        }
        add_codes(partial[p][t], high[p], second);
      }
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) sums[p][t] = end_codes<kFactor<kGrid>>(partial[p][t]);
  }
}

}  // namespace
}  // namespace mica::cpu
