// Products for many tokens: a stripe of panels is unpacked to bytes, a block of K at a time, and
// used by all tokens in register tiles. Bound by the integer units.
//
// Floats between the blocks of K are kept in y; the chain of each output is the same as for one
// token.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

constexpr int64_t kBlockCols = 512;  // unpacked: 8 KB a panel, 24 KB a stripe, within the L1 cache
constexpr int64_t kBlockBytes = kBlockCols * kLanes;
constexpr int64_t kBlockGroups = kBlockCols / 32;

// What codes become when unpacked. Bytes are used where they lie if they need no change.
constexpr Grid unpacked(Grid grid) {
  if (!kFoldsCodes || (grid == Grid::kQ8 && kByteBias == 128)) return grid;
  return grid == Grid::kQ4m ? Grid::kBytesM : Grid::kBytes;
}
constexpr bool stays_in_place(Grid grid) {
  return has_bytes(grid) && unpacked(grid) == grid;
}

// Unpacked codes in lines of 16 rows x 4 k, in the order of k.
struct Stripe {
  alignas(64) std::byte codes[kStripePanels][kBlockBytes];
  struct GroupTerms {
    struct PanelTerms {
      alignas(64) float scale[kLanes];
      alignas(64) float offset[kLanes];
    } of[kStripePanels];
  } terms[kBlockGroups];
};
static_assert(sizeof(Stripe) <= kProductScratchBytes);

// What is added to a group's unpacked codes to give bytes of bias 128: (8 * code - zero) + 128,
// (code - 8) + 128, code + 128. No byte overflows, so lanes of 32 bits do.
template <Grid kGrid>
MICA_INLINE Words byte_offset(const Terms<kGrid>& terms) {
  if constexpr (kGrid == Grid::kQ4) {
    return as<Words>(splat<Ints>(128) - terms.zero) * splat<Words>(0x01010101u);
  }
  return splat<Words>(kGrid == Grid::kQ4s ? 0x78787878u : 0x80808080u);
}

// Codes of one group: `lines` of 8 k become twice as many lines of 4 k, bytes stay bytes.
template <Grid kGrid>
MICA_INLINE void unpack_codes(const std::byte* from, int lines, const Terms<kGrid>& terms,
                              std::byte* to) {
  if constexpr (has_bytes(kGrid)) {
    for (int i = 0; i < lines; ++i) store(to + 64 * i, rebias(load<Words>(from + 64 * i)));
    return;
  }
  constexpr int kShift = kFoldsCodes && kGrid == Grid::kQ4 ? 3 : 0;  // 8 * code
  constexpr uint32_t kMask = 0x0f0f0f0fu << kShift;
  const Words offset = kFoldsCodes ? byte_offset(terms) : Words{};
  for (int i = 0; i < lines; ++i, from += 64, to += 128) {
    const Words line = load<Words>(from);
    const Words low = ((line << kShift) & kMask) + offset;
    const Words high = ((line >> (4 - kShift)) & kMask) + offset;
    store(to, kFoldsCodes ? rebias(low) : low);
    store(to + 64, kFoldsCodes ? rebias(high) : high);
  }
}

// Columns [first, first + cols) of panel p of the stripe.
template <Grid kGrid>
MICA_INLINE void unpack_panel(const Panels& w, const std::byte* slab, int64_t first, int64_t cols,
                              int p, Stripe& stripe) {
  const Planes planes = find_planes<kGrid>(slab, w.cols, w.group);
  for (int64_t k = 0; k < cols; k += w.group) {
    const Terms<kGrid> terms = load_terms<kGrid>(planes, (first + k) / w.group);
    auto& place = stripe.terms[k / w.group].of[p];
    store(place.scale, terms.scale);
    store(place.offset, terms.offset);
    if constexpr (!stays_in_place(kGrid)) {
      constexpr int kLineCols = has_bytes(kGrid) ? 4 : 8;
      unpack_codes(slab + (first + k) / kLineCols * 64, w.group / kLineCols, terms,
                   stripe.codes[p] + k * kLanes);
    }
  }
}

// A block of columns of some panels.
template <int kPanels>
struct StripePart {
  const std::byte* codes[kPanels];
  const Stripe::GroupTerms* terms;
  int first_panel;  // of the terms
  int group;
  int64_t groups;
};

// A block of columns of the input: rows lie row_codes and row_groups apart.
struct InputPart {
  const int8_t* codes;
  const InputGroup* groups;
  int64_t row_codes;
  int64_t row_groups;
};

// Adds the products to y [kTokens][16 kPanels], or stores them there if they are the first.
template <Grid kGrid, int kTokens, int kPanels>
MICA_INLINE void add_tile(const StripePart<kPanels>& w, const InputPart& x, bool first,
                          const Matrix& y) {
  const std::byte* lines[kPanels];
  for (int p = 0; p < kPanels; ++p) lines[p] = w.codes[p];
  const int8_t* a[kTokens];
  for (int t = 0; t < kTokens; ++t) a[t] = x.codes + t * x.row_codes;
  Floats total[kPanels][kTokens];
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) {
      total[p][t] = first ? Floats{} : load<Floats>(y.data + t * y.stride + p * kLanes);
    }
  }
  for (int64_t g = 0; g < w.groups; ++g) {
    const InputGroup* input = x.groups + g;
    Ints sums[kPanels][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      const Ints start = start_sums<kGrid>(input[t * x.row_groups]);
      for (int p = 0; p < kPanels; ++p) sums[p][t] = start;
    }
    for (int k = 0; k < w.group; k += 32) {
      add_unpacked_32<kGrid>(lines, a, sums);
      for (auto& line : lines) line += 32 * kLanes;
      for (auto& code : a) code += 32;
    }
    for (int p = 0; p < kPanels; ++p) {
      const auto& place = w.terms[g].of[w.first_panel + p];
      Terms<kGrid> terms;
      terms.scale = load<Floats>(place.scale);
      terms.offset = load<Floats>(place.offset);
      for (int t = 0; t < kTokens; ++t) {
        total[p][t] = add_group(sums[p][t], terms, input[t * x.row_groups], total[p][t]);
      }
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) store(y.data + t * y.stride + p * kLanes, total[p][t]);
  }
}

// The same for `tokens` tokens, a multiple of kTokenPadding and 12 or more: tiles of kTokenPadding
// until those of kTileTokens fit.
template <Grid kGrid, int kPanels>
void add_tiles(const StripePart<kPanels>& w, const InputPart& x, int64_t tokens, bool first,
               const Matrix& y) {
  int64_t t = 0;
  const auto add = [&]<int kTokens>(int64_t end) {
    for (; t < end; t += kTokens) {
      add_tile<kGrid, kTokens>(
          w, {x.codes + t * x.row_codes, x.groups + t * x.row_groups, x.row_codes, x.row_groups},
          first, {y.data + t * y.stride, y.stride});
    }
  };
  if constexpr (kTileTokens > kTokenPadding) {
    int64_t end = 0;
    while ((tokens - end) % kTileTokens != 0) end += kTokenPadding;
    add.template operator()<kTokenPadding>(end);
  }
  add.template operator()<kTileTokens>(tokens);
}

// Columns to unpack at once, whole groups: as few blocks as there can be, all of about one size
// (576 columns are 288 + 288, not 512 + 64).
MICA_INLINE int64_t even_block(int64_t cols, int64_t group) {
  const int64_t blocks = (cols + kBlockCols - 1) / kBlockCols, groups = cols / group;
  return (groups + blocks - 1) / blocks * group;
}

// Asks for the codes of columns [first, first + cols) of kPanels panels, which are unpacked after a
// thousand tiles or so.
template <Grid kGrid, int kPanels>
MICA_INLINE void prefetch_codes(const Panels& w, const std::byte* slab, int64_t first,
                                int64_t cols) {
  constexpr int64_t kColBytes = has_bytes(kGrid) ? 16 : 8;
  for (int p = 0; p < kPanels; ++p) {
    const std::byte* codes = slab + p * w.stride + first * kColBytes;
    for (int64_t i = 0; i < cols * kColBytes; i += 64) __builtin_prefetch(codes + i, 0, 2);
  }
}

// kPanels panels from w.first on, at most kStripePanels.
template <Grid kGrid, int kPanels>
void multiply_stripe(const Panels& w, const std::byte* slab, const CodedInput& x, int64_t tokens,
                     const Matrix& y, Stripe& stripe) {
  constexpr int kStep = kPanels < kTilePanels ? kPanels : kTilePanels;
  static_assert(kPanels % kStep == 0);
  const int64_t rounded = (tokens + kTokenPadding - 1) / kTokenPadding * kTokenPadding;
  const int64_t block = even_block(w.cols, w.group);
  for (int64_t k = 0; k < w.cols; k += block) {
    const int64_t cols = w.cols - k < block ? w.cols - k : block;
    const std::byte* codes[kPanels];
    for (int p = 0; p < kPanels; ++p) {
      unpack_panel<kGrid>(w, slab + p * w.stride, k, cols, p, stripe);
      codes[p] = stays_in_place(kGrid) ? slab + p * w.stride + k * kLanes : stripe.codes[p];
    }
    const bool last = k + cols == w.cols;
    prefetch_codes<kGrid, kPanels>(w, last ? slab + kPanels * w.stride : slab, last ? 0 : k + cols,
                                   cols);
    const int64_t row_groups = w.cols / w.group;
    const InputPart input{x.codes + k, x.groups + k / w.group, w.cols, row_groups};
    for (int p = 0; p < kPanels; p += kStep) {
      StripePart<kStep> part{{}, stripe.terms, p, w.group, cols / w.group};
      for (int i = 0; i < kStep; ++i) part.codes[i] = codes[p + i];
      add_tiles<unpacked(kGrid)>(part, input, rounded, k == 0, {y.data + p * kLanes, y.stride});
    }
  }
}

static_assert(kStripePanels == 3, "tile_products() leaves one or two panels over");
template <Grid kGrid>
void tile_products(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y,
                   std::byte* scratch) {
  Stripe& stripe = *reinterpret_cast<Stripe*>(scratch);
  int64_t p = 0;
  const auto at = [&](int64_t panel) { return Matrix{y.data + panel * kLanes, y.stride}; };
  for (; p + kStripePanels <= w.count; p += kStripePanels) {
    multiply_stripe<kGrid, kStripePanels>(w, w.first + p * w.stride, x, tokens, at(p), stripe);
  }
  if (w.count - p == 2) {
    multiply_stripe<kGrid, 2>(w, w.first + p * w.stride, x, tokens, at(p), stripe);
  }
  if (w.count - p == 1) {
    multiply_stripe<kGrid, 1>(w, w.first + p * w.stride, x, tokens, at(p), stripe);
  }
}

}  // namespace
}  // namespace mica::cpu
