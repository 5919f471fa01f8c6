// Primitives in 64-byte vectors: AVX-512 F, BW, VL, DQ and VNNI (Intel Cascade Lake, AMD Zen 4 and
// later).
#pragma once

#include <immintrin.h>

#include "backends/cpu/simd/lanes.h"

namespace mica::cpu {
namespace {

using Floats = Lanes<float, 64>;
using Ints = Lanes<int32_t, 64>;
using Words = Lanes<uint32_t, 64>;  // a 64-byte line

constexpr int kStreamTile = 8;
constexpr int kStreamTilePanels = 2;
constexpr int kStreamTokens = 48;
constexpr int kTilePanels = 3;
constexpr int kTileTokens = 4;
constexpr int kFloatTokens = 8;
constexpr int kAttendRows = 8;
constexpr int kAccumulators = 16;
constexpr bool kFoldsCodes = true;
constexpr int kByteBias = 128;

MICA_INLINE Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  return {{_mm512_fmadd_ps(a.part[0], b.part[0], c.part[0])}};
}
MICA_INLINE Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
  return fma(a, b, c);
}

MICA_INLINE Floats max(const Floats& a, const Floats& b) {
  return {{_mm512_max_ps(a.part[0], b.part[0])}};
}
MICA_INLINE Floats min(const Floats& a, const Floats& b) {
  return {{_mm512_min_ps(a.part[0], b.part[0])}};
}
MICA_INLINE Ints max(const Ints& a, const Ints& b) {
  return {{(Ints::Native)_mm512_max_epi32((__m512i)a.part[0], (__m512i)b.part[0])}};
}

// p * 2^n for integers n in -127 .. 127; n = -127 gives 0.
MICA_INLINE Floats multiply_by_power(const Floats& p, const Floats& n) {
  const __mmask16 above = _mm512_cmp_ps_mask(n.part[0], _mm512_set1_ps(-127), _CMP_NEQ_UQ);
  return {{_mm512_maskz_scalef_ps(above, p.part[0], n.part[0])}};
}

MICA_INLINE Floats to_floats(const Ints& v) {
  return {{_mm512_cvtepi32_ps((__m512i)v.part[0])}};
}

// Sixteen bytes, zero-extended.
MICA_INLINE Ints load_bytes(const void* from) {
  return {{(Ints::Native)_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)))}};
}
// Sign-extended.
MICA_INLINE Ints load_signed_bytes(const void* from) {
  return {{(Ints::Native)_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)))}};
}
// Low bytes.
MICA_INLINE void store_bytes(int8_t* to, const Ints& v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)v.part[0]));
}

MICA_INLINE __m256i load_32_bytes(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// Sixteen uint16, zero-extended.
MICA_INLINE Words load_shorts(const void* from) {
  return {{(Words::Native)_mm512_cvtepu16_epi32(load_32_bytes(from))}};
}

MICA_INLINE Floats load_halves(const void* from) {
  return {{_mm512_cvtph_ps(load_32_bytes(from))}};
}
MICA_INLINE void store_halves(uint16_t* to, const Floats& v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtps_ph(v.part[0], _MM_FROUND_TO_NEAREST_INT));
}

using Quad = __m512i;  // four int8 in every lane
MICA_INLINE Quad load_quad(const int8_t* a) {
  int32_t word;
  __builtin_memcpy(&word, a, 4);
  return _mm512_set1_epi32(word);
}

// Adds bytes (0..255) times a: 4 products a lane. In assembly, because GCC 12 spills accumulators
// of _mm512_dpbusd_epi32 that live across a loop (43 instead of 94 % of the peak).
MICA_INLINE void add_bytes(Ints& sums, const Words& bytes, const Quad& a) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums.part[0]) : "v"(bytes.part[0]), "v"(a));
}

// (sum - kMagicBits) * scale, rounded once; |sum - kMagicBits| < 2^22, magic = kMagic * scale. The
// sum's bits are the float kMagic + D, and fmsub rounds only at its end.
MICA_INLINE Floats scale_sums(const Ints& sums, float scale, float magic) {
  return {{_mm512_fmsub_ps((__m512)sums.part[0], _mm512_set1_ps(scale), _mm512_set1_ps(magic))}};
}

}  // namespace
}  // namespace mica::cpu

#include "backends/cpu/simd/codes_as_bytes.h"
