// A stripe of panels unpacked to bytes, a block of K at a time, for products of many tokens: what
// register tiles (tile_products.h) and matrix tiles (matrix_products.h) have in common.
//
// Floats between the blocks of K are kept in y; the chain of each output is the same as for one
// token.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

constexpr int64_t kMaxBlockCols = 512;  // unpacked: 8 KB a panel, 24 KB a stripe
constexpr int64_t kBlockBytes = kMaxBlockCols * kLanes;
constexpr int64_t kBlockGroups = kMaxBlockCols / 32;

// What codes become when unpacked.
enum class Unpacked {
  kCodes,   // 4-bit codes in bytes; bytes stay where they are
  kBiased,  // weights in units of the scale, + 128; bytes stay where they are
  kSigned,  // the same without bias
};

constexpr Grid unpacked(Grid grid, Unpacked to) {
  if (to == Unpacked::kCodes || (grid == Grid::kQ8 && to == Unpacked::kBiased)) return grid;
  return grid == Grid::kQ4m ? Grid::kBytesM : Grid::kBytes;
}
constexpr bool stays_in_place(Grid grid, Unpacked to) {
  return has_bytes(grid) && unpacked(grid, to) == grid;
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

template <Grid kGrid>
MICA_INLINE Terms<kGrid> stored_terms(const Stripe::GroupTerms& group, int panel) {
  Terms<kGrid> terms;
  terms.scale = load<Floats>(group.of[panel].scale);
  terms.offset = load<Floats>(group.of[panel].offset);
  return terms;
}

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
template <Grid kGrid, Unpacked kTo>
MICA_INLINE void unpack_codes(const std::byte* from, int lines, const Terms<kGrid>& terms,
                              std::byte* to) {
  constexpr uint32_t kSignBits = kTo == Unpacked::kSigned ? 0x80808080u : 0;
  if constexpr (has_bytes(kGrid)) {
    for (int i = 0; i < lines; ++i) store(to + 64 * i, load<Words>(from + 64 * i) ^ kSignBits);
    return;
  }
  constexpr bool kFolds = kTo != Unpacked::kCodes;
  constexpr int kShift = kFolds && kGrid == Grid::kQ4 ? 3 : 0;  // 8 * code
  constexpr uint32_t kMask = 0x0f0f0f0fu << kShift;
  const Words offset = kFolds ? byte_offset(terms) : Words{};
  for (int i = 0; i < lines; ++i, from += 64, to += 128) {
    const Words line = load<Words>(from);
    store(to, (((line << kShift) & kMask) + offset) ^ kSignBits);
    store(to + 64, (((line >> (4 - kShift)) & kMask) + offset) ^ kSignBits);
  }
}

// Columns [first, first + cols) of panel p of the stripe.
template <Grid kGrid, Unpacked kTo>
MICA_INLINE void unpack_panel(const Panels& w, const std::byte* slab, int64_t first, int64_t cols,
                              int p, Stripe& stripe) {
  const Planes planes = find_planes<kGrid>(slab, w.cols, w.group);
  for (int64_t k = 0; k < cols; k += w.group) {
    const Terms<kGrid> terms = load_terms<kGrid>(planes, (first + k) / w.group);
    auto& place = stripe.terms[k / w.group].of[p];
    store(place.scale, terms.scale);
    store(place.offset, terms.offset);
    if constexpr (!stays_in_place(kGrid, kTo)) {
      constexpr int kLineCols = has_bytes(kGrid) ? 4 : 8;
      unpack_codes<kGrid, kTo>(slab + (first + k) / kLineCols * 64, w.group / kLineCols, terms,
                               stripe.codes[p] + k * kLanes);
    }
  }
}

// A block of columns of the input: rows lie row_codes and row_groups apart.
struct InputPart {
  const int8_t* codes;
  const InputGroup* groups;
  int64_t row_codes;
  int64_t row_groups;
};

// The same block of kPanels panels, in lines as in a Stripe.
template <int kPanels>
struct StripeBlock {
  const std::byte* codes[kPanels];
  const Stripe::GroupTerms* terms;
  int group;
  int64_t groups;
};

// Columns to unpack at once, whole groups and at most `most`: as few blocks as there can be, all of
// about one size (576 columns are 288 + 288, not 512 + 64).
MICA_INLINE int64_t even_block(int64_t cols, int64_t group, int64_t most) {
  const int64_t blocks = (cols + most - 1) / most, groups = cols / group;
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

// Unpacks kPanels panels from `slab` on, `most` columns at a time, and calls
// add(StripeBlock, InputPart, first) for each block; `first` tells that nothing was added before.
template <Grid kGrid, Unpacked kTo, int kPanels, class Add>
void for_blocks(const Panels& w, const std::byte* slab, const CodedInput& x, int64_t most,
                Stripe& stripe, const Add& add) {
  const int64_t block = even_block(w.cols, w.group, most);
  for (int64_t k = 0; k < w.cols; k += block) {
    const int64_t cols = w.cols - k < block ? w.cols - k : block;
    StripeBlock<kPanels> part{{}, stripe.terms, w.group, cols / w.group};
    for (int p = 0; p < kPanels; ++p) {
      const std::byte* panel = slab + p * w.stride;
      unpack_panel<kGrid, kTo>(w, panel, k, cols, p, stripe);
      part.codes[p] = stays_in_place(kGrid, kTo) ? panel + k * kLanes : stripe.codes[p];
    }
    const bool last = k + cols == w.cols;
    prefetch_codes<kGrid, kPanels>(w, last ? slab + kPanels * w.stride : slab, last ? 0 : k + cols,
                                   cols);
    add(part, InputPart{x.codes + k, x.groups + k / w.group, w.cols, w.cols / w.group}, k == 0);
  }
}

// The same for all panels of w, with y from the block's first panel on as the last argument.
static_assert(kStripePanels == 3, "for_stripes() leaves one or two panels over");
template <Grid kGrid, Unpacked kTo, class Add>
void for_stripes(const Panels& w, const CodedInput& x, int64_t most, const Matrix& y,
                 Stripe& stripe, const Add& add) {
  int64_t panel = 0;
  const auto add_stripe = [&]<int kPanels>() {
    const Matrix out{y.data + panel * kLanes, y.stride};
    for_blocks<kGrid, kTo, kPanels>(w, w.first + panel * w.stride, x, most, stripe,
                                    [&](const StripeBlock<kPanels>& block, const InputPart& input,
                                        bool first) { add(block, input, first, out); });
    panel += kPanels;
  };
  while (w.count - panel >= kStripePanels) add_stripe.template operator()<kStripePanels>();
  if (w.count - panel == 2) add_stripe.template operator()<2>();
  if (w.count - panel == 1) add_stripe.template operator()<1>();
}

}  // namespace
}  // namespace mica::cpu
