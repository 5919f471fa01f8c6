// Products for few tokens: weights stream from memory once, one panel after another, and are
// unpacked in registers. Bound by the memory for one token.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

// How far ahead of its use memory is asked for, in the order of the bytes of all panels. (One
// thread of a Zen 5, share of the read limit: not at all 50 %, 2 KB 60, 4 KB 73, 8 KB 75, 16 KB 85
// %.)
constexpr int64_t kAheadBytes = 16 << 10;
constexpr int64_t kPartsOfByte = 256;  // 32 columns with their scales seldom fill whole bytes

// Parts of a byte that 32 columns of a panel take.
MICA_INLINE int64_t parts_of_32(const Panels& w) {
  return static_cast<int64_t>(w.stride) * 32 * kPartsOfByte / w.cols;
}

// y[t][r] of kPanels panels from `slab` on for kTokens tokens, the first that read them or others.
template <Grid kGrid, int kPanels, int kTokens, bool kFirst>
MICA_INLINE void stream_tile(const Panels& w, const std::byte* slab, const CodedInput& x,
                             const Matrix& y, int64_t parts_of_32) {
  constexpr int kLinesOf32 = has_bytes(kGrid) ? 8 : 4;
  int64_t passed = 0;
  const int64_t groups = w.cols / w.group;
  const std::byte* lines[kPanels];
  Planes planes[kPanels];
  for (int p = 0; p < kPanels; ++p) {
    lines[p] = slab + p * w.stride;
    planes[p] = find_planes<kGrid>(lines[p], w.cols, w.group);
  }
  const int8_t* codes[kTokens];
  for (int t = 0; t < kTokens; ++t) codes[t] = x.codes + t * w.cols;

  Floats total[kPanels][kTokens] = {};
  for (int64_t g = 0; g < groups; ++g) {
    Ints sums[kPanels][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      const Ints start = start_sums<kGrid>(x.groups[t * groups + g]);
      for (int p = 0; p < kPanels; ++p) sums[p][t] = start;
    }
    for (int k = 0; k < w.group; k += 32) {
      if constexpr (kFirst) {
        // One line more for scales, always: a branch on what they take would be mispredicted.
        const std::byte* ahead = slab + kAheadBytes + passed / kPartsOfByte;
        for (int p = 0; p < kPanels; ++p, ahead += w.stride) {
          for (int i = 0; i <= kLinesOf32; ++i) __builtin_prefetch(ahead + 64 * i);
        }
        passed += parts_of_32;
      }
      add_packed_32<kGrid>(lines, codes, sums);
      for (auto& line : lines) line += 64 * kLinesOf32;
      for (auto& code : codes) code += 32;
    }
    for (int p = 0; p < kPanels; ++p) {
      const Terms<kGrid> terms = load_terms<kGrid>(planes[p], g);
      for (int t = 0; t < kTokens; ++t) {
        total[p][t] = add_group(sums[p][t], terms, x.groups[t * groups + g], total[p][t]);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int p = 0; p < kPanels; ++p) store(y.data + t * y.stride + p * kLanes, total[p][t]);
  }
}

// kPanels panels from `slab` on.
template <Grid kGrid, int kPanels>
MICA_INLINE void stream_panels(const Panels& w, const std::byte* slab, const CodedInput& x,
                               int64_t tokens, const Matrix& y) {
  const int64_t parts = parts_of_32(w);
  int64_t t = 0;
  const auto add = [&]<int kTokens, bool kFirst>() {
    stream_tile<kGrid, kPanels, kTokens, kFirst>(
        w, slab, {x.codes + t * w.cols, x.groups + t * (w.cols / w.group)},
        {y.data + t * y.stride, y.stride}, parts);
    t += kTokens;
  };
  const auto add_all = [&]<int kTokens>() {
    if (t == 0 && kTokens <= tokens) add.template operator()<kTokens, true>();
    while (t + kTokens <= tokens) add.template operator()<kTokens, false>();
  };
  add_all.template operator()<kStreamTile>();
  if constexpr (kStreamTile > 4) add_all.template operator()<4>();
  add_all.template operator()<2>();
  add_all.template operator()<1>();
}

// Few tokens take one panel after another, so that memory is read in one stream: the processor's
// prefetching follows that best. (One thread of a Zen 5, K = 2048, share of the read limit: four
// panels in flight 68-75 %, one 85-95 %.) A whole tile of tokens is bound by its loads of
// activations, which more panels share.
template <Grid kGrid>
void stream_products(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y) {
  int64_t p = 0;
  const auto add = [&]<int kPanels>() {
    for (; p + kPanels <= w.count; p += kPanels) {
      stream_panels<kGrid, kPanels>(w, w.first + p * w.stride, x, tokens,
                                    {y.data + p * kLanes, y.stride});
    }
  };
  if (kStreamTilePanels > 1 && tokens >= kStreamTile) {
    add.template operator()<kStreamTilePanels>();
  }
  add.template operator()<1>();
}

}  // namespace
}  // namespace mica::cpu
