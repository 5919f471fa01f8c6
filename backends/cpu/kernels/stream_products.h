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

// y[t][r] of the panel at `slab` for kTokens tokens.
template <Grid kGrid, int kTokens>
MICA_INLINE void stream_panel(const Panels& w, const std::byte* slab, const CodedInput& x,
                              const Matrix& y, int64_t parts_of_32) {
  constexpr int kLinesOf32 = has_bytes(kGrid) ? 8 : 4;
  int64_t passed = 0;
  const int64_t groups = w.cols / w.group;
  const std::byte* lines[1] = {slab};
  const Planes planes = find_planes<kGrid>(slab, w.cols, w.group);
  const int8_t* codes[kTokens];
  for (int t = 0; t < kTokens; ++t) codes[t] = x.codes + t * w.cols;

  Floats total[kTokens] = {};
  for (int64_t g = 0; g < groups; ++g) {
    Ints sums[1][kTokens];
    for (int t = 0; t < kTokens; ++t) sums[0][t] = start_sums<kGrid>(x.groups[t * groups + g]);
    for (int k = 0; k < w.group; k += 32) {
      // One line more for scales, always: a branch on what they take would be mispredicted.
      const std::byte* ahead = slab + kAheadBytes + passed / kPartsOfByte;
      for (int i = 0; i <= kLinesOf32; ++i) __builtin_prefetch(ahead + 64 * i);
      passed += parts_of_32;
      add_packed_32<kGrid>(lines, codes, sums);
      lines[0] += 64 * kLinesOf32;
      for (auto& code : codes) code += 32;
    }
    const Terms<kGrid> terms = load_terms<kGrid>(planes, g);
    for (int t = 0; t < kTokens; ++t) {
      total[t] = add_group(sums[0][t], terms, x.groups[t * groups + g], total[t]);
    }
  }
  for (int t = 0; t < kTokens; ++t) store(y.data + t * y.stride, total[t]);
}

// One panel after another, so that memory is read in one stream: the processor's prefetching
// follows that best. (One thread of a Zen 5, K = 2048, share of the read limit: four panels in
// flight 68-75 %, one 85-95 %.)
template <Grid kGrid>
void stream_products(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y) {
  const int64_t parts = parts_of_32(w);
  for (int64_t p = 0; p < w.count; ++p) {
    int64_t t = 0;
    const auto block = [&]<int kTokens>() {
      for (; t + kTokens <= tokens; t += kTokens) {
        stream_panel<kGrid, kTokens>(w, w.first + p * w.stride,
                                     {x.codes + t * w.cols, x.groups + t * (w.cols / w.group)},
                                     {y.data + t * y.stride + p * kLanes, y.stride}, parts);
      }
    };
    block.template operator()<kStreamTile>();
    if constexpr (kStreamTile > 4) block.template operator()<4>();
    block.template operator()<2>();
    block.template operator()<1>();
  }
}

}  // namespace
}  // namespace mica::cpu
