// Products for few tokens: weights stream from memory once, several panels at a time, and are
// unpacked in registers. Bound by the memory for one token.
#pragma once

#include "backends/cpu/kernels/panel_terms.h"

namespace mica::cpu {
namespace {

// Asks for memory ahead of the panels in flight. Blocks of short panels are asked for one block
// ahead, in the order of their bytes: looking ahead within a panel would only find its neighbour in
// flight. Long ones are asked for a little ahead within each panel, since a block would not stay in
// the L1 cache. (q4g32 on a Zen 5, one thread, share of the read limit: K = 576 56 -> 100 %, K =
// 1536 78 -> 90 %; K = 4096 would fall from 86 to 78 %.)
template <int kPanels>
class Prefetcher {
 public:
  Prefetcher(const Panels& w, const std::byte* slab)
      : cols_(w.cols),
        block_bytes_(kPanels * static_cast<int64_t>(w.stride)),
        next_block_(slab + block_bytes_) {}

  // Before columns [k, k + 32), whose `bytes` bytes a panel lie at `lines`.
  MICA_INLINE void advance(const std::byte* const (&lines)[kPanels], int64_t bytes, int64_t k) {
    if (block_bytes_ > kLongBlockBytes) {
      for (const std::byte* line : lines) {
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(line + kAheadBytes + i);
      }
      return;
    }
    const int64_t until = block_bytes_ * (k + 32) / cols_;
    for (; asked_ < until; asked_ += 64) __builtin_prefetch(next_block_ + asked_);
  }

 private:
  static constexpr int64_t kLongBlockBytes = 64 << 10;
  static constexpr int64_t kAheadBytes = 4096;

  int64_t cols_;
  int64_t block_bytes_;
  const std::byte* next_block_;
  int64_t asked_ = 0;
};

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

  Prefetcher<kPanels> prefetcher(w, slab);
  Floats total[kPanels][kTokens] = {};
  for (int64_t g = 0; g < groups; ++g) {
    Ints sums[kPanels][kTokens];
    for (int t = 0; t < kTokens; ++t) {
      const Ints start = start_sums<kGrid>(x.groups[t * groups + g]);
      for (int p = 0; p < kPanels; ++p) sums[p][t] = start;
    }
    for (int k = 0; k < w.group; k += 32) {
      prefetcher.advance(lines, kBytesOf32, g * w.group + k);
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
