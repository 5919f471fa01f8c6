// What the instruction sets of 32-byte vectors share: pairs of them, AVX2, FMA and F16C (Intel
// Haswell, AMD Zen and later).
#pragma once

#include <immintrin.h>

#include "backends/cpu/simd/lanes.h"

namespace mica::cpu {
namespace {

using Floats = Lanes<float, 32>;
using Ints = Lanes<int32_t, 32>;
using Words = Lanes<uint32_t, 32>;  // a 64-byte line

constexpr int kStreamTile = 4;
constexpr int kStreamTilePanels = 1;
constexpr int kTilePanels = 1;
constexpr int kFloatTokens = 4;
constexpr int kAttendRows = 6;
constexpr int kAccumulators = 6;

MICA_INLINE Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  return {{_mm256_fmadd_ps(a.part[0], b.part[0], c.part[0]),
           _mm256_fmadd_ps(a.part[1], b.part[1], c.part[1])}};
}
MICA_INLINE Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
  return fma(a, b, c);
}

MICA_INLINE Floats max(const Floats& a, const Floats& b) {
  return {{_mm256_max_ps(a.part[0], b.part[0]), _mm256_max_ps(a.part[1], b.part[1])}};
}
MICA_INLINE Floats min(const Floats& a, const Floats& b) {
  return {{_mm256_min_ps(a.part[0], b.part[0]), _mm256_min_ps(a.part[1], b.part[1])}};
}
MICA_INLINE Ints max(const Ints& a, const Ints& b) {
  return {{(Ints::Native)_mm256_max_epi32((__m256i)a.part[0], (__m256i)b.part[0]),
           (Ints::Native)_mm256_max_epi32((__m256i)a.part[1], (__m256i)b.part[1])}};
}

MICA_INLINE Floats to_floats(const Ints& v) {
  return {{_mm256_cvtepi32_ps((__m256i)v.part[0]), _mm256_cvtepi32_ps((__m256i)v.part[1])}};
}

MICA_INLINE __m128i load_16_bytes(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

// Sixteen bytes, zero-extended.
MICA_INLINE Ints load_bytes(const void* from) {
  const __m128i bytes = load_16_bytes(from);
  return {{(Ints::Native)_mm256_cvtepu8_epi32(bytes),
           (Ints::Native)_mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))}};
}
// Sign-extended.
MICA_INLINE Ints load_signed_bytes(const void* from) {
  const __m128i bytes = load_16_bytes(from);
  return {{(Ints::Native)_mm256_cvtepi8_epi32(bytes),
           (Ints::Native)_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))}};
}
// Lanes of -128..127.
MICA_INLINE void store_bytes(int8_t* to, const Ints& v) {
  const __m256i shorts = _mm256_permute4x64_epi64(
      _mm256_packs_epi32((__m256i)v.part[0], (__m256i)v.part[1]), 0b11'01'10'00);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}

// Sixteen uint16, zero-extended.
MICA_INLINE Words load_shorts(const void* from) {
  const char* bytes = static_cast<const char*>(from);
  return {{(Words::Native)_mm256_cvtepu16_epi32(load_16_bytes(bytes)),
           (Words::Native)_mm256_cvtepu16_epi32(load_16_bytes(bytes + 16))}};
}

MICA_INLINE Floats load_halves(const void* from) {
  const char* bytes = static_cast<const char*>(from);
  return {{_mm256_cvtph_ps(load_16_bytes(bytes)), _mm256_cvtph_ps(load_16_bytes(bytes + 16))}};
}
MICA_INLINE void store_halves(uint16_t* to, const Floats& v) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(v.part[0], kNearest));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 8), _mm256_cvtps_ph(v.part[1], kNearest));
}

using Quad = __m256i;  // four int8 in every lane
MICA_INLINE Quad load_quad(const int8_t* a) {
  int32_t word;
  __builtin_memcpy(&word, a, 4);
  return _mm256_set1_epi32(word);
}

// (sum - kMagicBits) * scale, rounded once; |sum - kMagicBits| < 2^22, magic = kMagic * scale. The
// sum's bits are the float kMagic + D, and fmsub rounds only at its end.
MICA_INLINE Floats scale_sums(const Ints& sums, float scale, float magic) {
  const __m256 scales = _mm256_set1_ps(scale), magics = _mm256_set1_ps(magic);
  return {{_mm256_fmsub_ps((__m256)sums.part[0], scales, magics),
           _mm256_fmsub_ps((__m256)sums.part[1], scales, magics)}};
}

}  // namespace
}  // namespace mica::cpu
