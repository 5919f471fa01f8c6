// Products for few tokens: weights stream from memory once, several panels at a time, and are
// unpacked in registers. Bound by the memory for one token.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

// How far ahead lines are asked for, in bytes.
constexpr int64_t kPrefetchBytes = 4096;

// y[t][16 p + r] for kPanels panels from `slab` on and kTokens tokens.
template <Grid kGrid, int kPanels, int kTokens>
void stream_block(const Panels& w, const std::byte* slab, const CodedInput& x, const Matrix& y) {
  constexpr int64_t kBytesOf32 = (has_bytes(kGrid) ? 8 : 4) * 64;
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
      for (int p = 0; p < kPanels; ++p) {
        for (int64_t line = 0; line < kBytesOf32; line += 64) {
          __builtin_prefetch(lines[p] + kPrefetchBytes + line);
        }
      }
      add_packed_32<kGrid>(lines, codes, sums);
      for (auto& line : lines) line += kBytesOf32;
      for (auto& code : codes) code += 32;
    }
    for (int p = 0; p < kPanels; ++p) {
      const Terms<kGrid> terms = load_terms<kGrid>(planes[p], g);
      for (int t = 0; t < kTokens; ++t) {
        total[p][t] = add_group(sums[p][t], terms, x.groups[t * groups + g], total[p][t]);
      }
    }
  }
  for (int p = 0; p < kPanels; ++p) {
    for (int t = 0; t < kTokens; ++t) store(y.data + t * y.stride + p * kLanes, total[p][t]);
  }
}

template <Grid kGrid, int kPanels>
MICA_INLINE void stream_tokens(const Panels& w, const std::byte* slab, const CodedInput& x,
                               int64_t tokens, const Matrix& y) {
  int64_t t = 0;
  const auto block = [&]<int kTokens>() {
    for (; t + kTokens <= tokens; t += kTokens) {
      stream_block<kGrid, kPanels, kTokens>(
          w, slab, {x.codes + t * w.cols, x.groups + t * (w.cols / w.group)},
          {y.data + t * y.stride, y.stride});
    }
  };
  // Beyond the first tokens the panels come from the cache: fewer in flight, more tokens at once.
  if constexpr (kPanels == 1) block.template operator()<4>();
  if constexpr (kPanels <= 2) block.template operator()<2>();
  block.template operator()<1>();
}

template <Grid kGrid>
void stream_products(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y) {
  int64_t p = 0;
  const auto at = [&](int64_t panel) { return Matrix{y.data + panel * kLanes, y.stride}; };
  if (tokens == 1) {
    for (; p + kStreams <= w.count; p += kStreams) {
      stream_tokens<kGrid, kStreams>(w, w.first + p * w.stride, x, tokens, at(p));
    }
  }
  if (kStreams > 2 && tokens <= 3) {
    for (; p + 2 <= w.count; p += 2) {
      stream_tokens<kGrid, 2>(w, w.first + p * w.stride, x, tokens, at(p));
    }
  }
  for (; p < w.count; ++p) {
    stream_tokens<kGrid, 1>(w, w.first + p * w.stride, x, tokens, at(p));
  }
}

}  // namespace
}  // namespace mica::cpu
