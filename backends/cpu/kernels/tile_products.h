// Products for many tokens in register tiles: the unpacked bytes of a stripe are used by all
// tokens. Bound by the integer units.
#pragma once

#include "backends/cpu/kernels/stripe.h"

namespace mica::cpu {
namespace {

// What add_bytes() takes.
constexpr Unpacked kAddedBytes = !kFoldsCodes       ? Unpacked::kCodes
                                 : kByteBias == 128 ? Unpacked::kBiased
                                                    : Unpacked::kSigned;

// Adds the products of kStep panels from first_panel on to y [kTokens][16 kStep], or stores them
// there if they are the first.
template <Grid kGrid, int kTokens, int kStep, int kPanels>
MICA_INLINE void add_tile(const StripeBlock<kPanels>& w, int first_panel, const InputPart& x,
                          bool first, const Matrix& y) {
  const std::byte* lines[kStep];
  for (int p = 0; p < kStep; ++p) lines[p] = w.codes[first_panel + p];
  const int8_t* a[kTokens];
  for (int t = 0; t < kTokens; ++t) a[t] = x.codes + t * x.row_codes;
  Floats total[kStep][kTokens];
  for (int p = 0; p < kStep; ++p) {
    for (int t = 0; t < kTokens; ++t) {
      total[p][t] = first ? Floats{} : load<Floats>(y.data + t * y.stride + p * kLanes);
    }
  }
  for (int64_t g = 0; g < w.groups; ++g) {
    const InputGroup* input = x.groups + g;
    Ints sums[kStep][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      const Ints start = start_sums<kGrid>(input[t * x.row_groups]);
      for (int p = 0; p < kStep; ++p) sums[p][t] = start;
    }
    for (int k = 0; k < w.group; k += 32) {
      add_unpacked_32<kGrid>(lines, a, sums);
      for (auto& line : lines) line += 32 * kLanes;
      for (auto& code : a) code += 32;
    }
    for (int p = 0; p < kStep; ++p) {
      const Terms<kGrid> terms = stored_terms<kGrid>(w.terms[g], first_panel + p);
      for (int t = 0; t < kTokens; ++t) {
        total[p][t] = add_group(sums[p][t], terms, input[t * x.row_groups], total[p][t]);
      }
    }
  }
  for (int p = 0; p < kStep; ++p) {
    for (int t = 0; t < kTokens; ++t) store(y.data + t * y.stride + p * kLanes, total[p][t]);
  }
}

// The same for `tokens` tokens, a multiple of kTokenPadding and 12 or more: tiles of kTokenPadding
// until those of kTileTokens fit.
template <Grid kGrid, int kStep, int kPanels>
void add_tiles(const StripeBlock<kPanels>& w, int first_panel, const InputPart& x, int64_t tokens,
               bool first, const Matrix& y) {
  int64_t t = 0;
  const auto add = [&]<int kTokens>(int64_t end) {
    for (; t < end; t += kTokens) {
      add_tile<kGrid, kTokens, kStep>(
          w, first_panel,
          {x.codes + t * x.row_codes, x.groups + t * x.row_groups, x.row_codes, x.row_groups},
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

template <Grid kGrid>
void tile_products(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y,
                   std::byte* scratch) {
  constexpr int64_t kBlockCols = 512;  // 24 KB a stripe, within the L1 cache
  const int64_t rounded = (tokens + kTokenPadding - 1) / kTokenPadding * kTokenPadding;
  const auto add = [&]<int kPanels>(const StripeBlock<kPanels>& block, const InputPart& input,
                                    bool first, const Matrix& out) {
    constexpr int kStep = kPanels < kTilePanels ? kPanels : kTilePanels;
    static_assert(kPanels % kStep == 0);
    for (int p = 0; p < kPanels; p += kStep) {
      add_tiles<unpacked(kGrid, kAddedBytes), kStep>(block, p, input, rounded, first,
                                                     {out.data + p * kLanes, out.stride});
    }
  };
  for_stripes<kGrid, kAddedBytes>(w, x, kBlockCols, y, *reinterpret_cast<Stripe*>(scratch), add);
}

}  // namespace
}  // namespace mica::cpu
