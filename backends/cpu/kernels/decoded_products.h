// Products of decoded weights with float activations, for exact checks: a stripe of panels is
// decoded to floats, a block of K at a time, and used by all tokens.
//
// One chain an output, k ascending, carried across blocks in y: the same bits for any number of
// tokens.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

constexpr int kDecodedPanels = 3;
constexpr int64_t kDecodedCols = 128;  // a multiple of every group; 24 KB a stripe

// Floats in the order of k, 16 rows each.
struct DecodedStripe {
  alignas(64) float w[kDecodedCols][kDecodedPanels][kLanes];
};
static_assert(sizeof(DecodedStripe) <= kProductScratchBytes);

// Four columns, one of each byte of the lanes; w = scale * q + minimum, the product exact.
template <Grid kGrid>
MICA_INLINE void decode_line(const Words& codes, const Terms<kGrid>& terms, int p,
                             float (*w)[kDecodedPanels][kLanes]) {
  for (int j = 0; j < 4; ++j) {
    Ints q = as<Ints>((codes >> (8 * j)) & 0xffu);
    if constexpr (kGrid == Grid::kQ4) q = (q << 3) - terms.zero;
    if constexpr (kGrid == Grid::kQ4s) q = q - splat<Ints>(8);
    if constexpr (kGrid == Grid::kQ8) q = q - splat<Ints>(128);
    Floats value = to_floats(q) * terms.scale;
    if constexpr (has_minimum(kGrid)) value = value + terms.offset;
    store(w[j][p], value);
  }
}

template <Grid kGrid>
MICA_INLINE void decode_panel(const Panels& w, const std::byte* slab, int64_t first, int64_t cols,
                              int p, DecodedStripe& stripe) {
  const Planes planes = find_planes<kGrid>(slab, w.cols, w.group);
  const std::byte* line = slab + first * (has_bytes(kGrid) ? 16 : 8);
  for (int64_t k = 0; k < cols;) {
    const Terms<kGrid> terms = load_terms<kGrid>(planes, (first + k) / w.group);
    for (const int64_t end = k + w.group; k < end; line += 64) {
      const Words codes = load<Words>(line);
      if constexpr (has_bytes(kGrid)) {
        decode_line(codes, terms, p, &stripe.w[k]);
        k += 4;
      } else {
        decode_line(codes & 0x0f0f0f0fu, terms, p, &stripe.w[k]);
        decode_line((codes >> 4) & 0x0f0f0f0fu, terms, p, &stripe.w[k + 4]);
        k += 8;
      }
    }
  }
}

template <int kPanels, int kTokens>
void add_decoded_tile(const DecodedStripe& stripe, int first_panel, int64_t cols,
                      const ConstMatrix& x, const Matrix& y) {
  Floats total[kPanels][kTokens];
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) {
      total[p][t] = load<Floats>(y.data + t * y.stride + p * kLanes);
    }
  }
  for (int64_t k = 0; k < cols; ++k) {
    Floats w[kPanels];
    for (int p = 0; p < kPanels; ++p) w[p] = load<Floats>(stripe.w[k][first_panel + p]);
    for (int t = 0; t < kTokens; ++t) {
      const Floats a = splat<Floats>(x.data[t * x.stride + k]);
      for (int p = 0; p < kPanels; ++p) total[p][t] = multiply_add(w[p], a, total[p][t]);
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) store(y.data + t * y.stride + p * kLanes, total[p][t]);
  }
}

template <int kPanels>
MICA_INLINE void add_decoded_tokens(const DecodedStripe& stripe, int first_panel, int64_t cols,
                                    const ConstMatrix& x, int64_t tokens, const Matrix& y) {
  int64_t t = 0;
  const auto from = [&] { return ConstMatrix{x.data + t * x.stride, x.stride}; };
  const auto to = [&] { return Matrix{y.data + t * y.stride, y.stride}; };
  for (; t + kFloatTokens <= tokens; t += kFloatTokens) {
    add_decoded_tile<kPanels, kFloatTokens>(stripe, first_panel, cols, from(), to());
  }
  for (; t < tokens; ++t) {
    add_decoded_tile<kPanels, 1>(stripe, first_panel, cols, from(), to());
  }
}

template <Grid kGrid>
void decoded_products(const Panels& w, const ConstMatrix& x, int64_t tokens, const Matrix& y,
                      std::byte* scratch) {
  DecodedStripe& stripe = *reinterpret_cast<DecodedStripe*>(scratch);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t p = 0; p < w.count; ++p) store(y.data + t * y.stride + p * kLanes, Floats{});
  }
  for (int64_t first = 0; first < w.count; first += kDecodedPanels) {
    const int panels =
        static_cast<int>(w.count - first < kDecodedPanels ? w.count - first : kDecodedPanels);
    for (int64_t k = 0; k < w.cols; k += kDecodedCols) {
      const int64_t cols = w.cols - k < kDecodedCols ? w.cols - k : kDecodedCols;
      for (int p = 0; p < panels; ++p) {
        decode_panel<kGrid>(w, w.first + (first + p) * w.stride, k, cols, p, stripe);
      }
      const ConstMatrix from{x.data + k, x.stride};
      for (int p = 0; p < panels;) {
        const Matrix to{y.data + (first + p) * kLanes, y.stride};
        if (kTilePanels == kDecodedPanels && panels == kDecodedPanels) {
          add_decoded_tokens<kDecodedPanels>(stripe, p, cols, from, tokens, to);
          p += kDecodedPanels;
        } else {
          add_decoded_tokens<1>(stripe, p, cols, from, tokens, to);
          ++p;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mica::cpu
