// Integer products of AVX2: vpmaddubsw, 16 bits wide.
#pragma once

#include "backends/cpu/simd/ymm_lanes.h"

namespace mica::cpu {
namespace {

constexpr int kStreamTokens = 24;
constexpr int kTileTokens = 4;
constexpr bool kFoldsCodes = false;  // vpmaddubsw saturates on unsigned bytes above 128
constexpr int kByteBias = 0;
constexpr int kQ4Factor = 8;

// Sums of products of up to 32 k of 4-bit codes, in 16 bits: at most 16 * 15 * 127 = 30480.
struct CodeSums {
  __m256i part[2];
  Ints start;
};
MICA_INLINE CodeSums begin_codes(const Ints& start, const Words& codes, const Quad& a) {
  return {{_mm256_maddubs_epi16((__m256i)codes.part[0], a),
           _mm256_maddubs_epi16((__m256i)codes.part[1], a)},
          start};
}
template <int kFactor>
MICA_INLINE Ints end_codes(const CodeSums& sums) {
  Ints total = sums.start;
  const __m256i factor = _mm256_set1_epi16(kFactor);
  for (int i = 0; i < 2; ++i) {
    total.part[i] += (Ints::Native)_mm256_madd_epi16(sums.part[i], factor);
  }
  return total;
}

// Adds codes (bytes 0..15) times a: 4 products a lane. In assembly, because GCC 12 forms the
// products of many steps before it adds any, and spills them.
MICA_INLINE void add_codes(CodeSums& sums, const Words& codes, const Quad& a) {
  for (int i = 0; i < 2; ++i) {
    __m256i products;
    asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
        : "+x"(sums.part[i]), "=&x"(products)
        : "x"(codes.part[i]), "x"(a));
  }
}

// Adds w * a as |w| * (a with the sign of w). |w| <= 128 and |a| <= 127, so that the pairs that
// vpmaddubsw adds stay below 2 * 128 * 127 = 32512 and never saturate.
MICA_INLINE void add_bytes(Ints& sums, const Words& bytes, const Quad& a) {
  for (int i = 0; i < 2; ++i) {
    const auto w = (__m256i)bytes.part[i];
    __m256i products;
    asm("vpsignb %2, %4, %1\n\tvpmaddubsw %1, %3, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"
        : "+x"(sums.part[i]), "=&x"(products)
        : "x"(w), "x"(_mm256_abs_epi8(w)), "x"(a), "x"(_mm256_set1_epi16(1)));
  }
}

}  // namespace
}  // namespace mica::cpu
