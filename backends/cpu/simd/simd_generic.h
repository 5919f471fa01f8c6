// Primitives in GCC vector types of 16 bytes: any machine.
#pragma once

#include "backends/cpu/simd/lanes.h"

namespace mica::cpu {
namespace {

using Floats = Lanes<float, 16>;
using Ints = Lanes<int32_t, 16>;
using Words = Lanes<uint32_t, 16>;  // a 64-byte line

// How many sums the registers hold:
constexpr int kStreamTile = 4;        // tokens of a panel that streams
constexpr int kStreamTilePanels = 1;  // that as many tokens share
constexpr int kStreamTokens = 16;     // more are faster with weights unpacked to bytes
constexpr int kTilePanels = 1;        // panels and tokens of a tile of int8 products
constexpr int kTileTokens = 4;
constexpr int kFloatTokens = 4;   // tokens of a panel of float products
constexpr int kAttendRows = 2;    // query rows that share keys or values
constexpr int kAccumulators = 2;  // vectors of sums in attention
// Whether 4-bit codes of every type are unpacked to the bytes that add_bytes() takes, and the bias
// of those: 128, or 0 for signed bytes.
constexpr bool kFoldsCodes = false;  // products of 16 bits take 4-bit codes faster
constexpr int kByteBias = 0;
// What end_codes() multiplies sums of kQ4 by: 8 where that costs nothing, or 1.
constexpr int kQ4Factor = 1;

typedef int16_t Shorts __attribute__((vector_size(16)));

// Rounds once. Without hardware support this is a call.
MICA_INLINE Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  float x[kLanes], y[kLanes], z[kLanes];
  store(x, a), store(y, b), store(z, c);
  for (int i = 0; i < kLanes; ++i) z[i] = __builtin_fmaf(x[i], y[i], z[i]);
  return load<Floats>(z);
}

// a * b + c with one rounding or two, whichever is faster; always the same here.
MICA_INLINE Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
  return a * b + c;
}

MICA_INLINE Floats max(const Floats& a, const Floats& b) {
  Floats v;
  for (int i = 0; i < v.kParts; ++i) v.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return v;
}
MICA_INLINE Floats min(const Floats& a, const Floats& b) {
  Floats v;
  for (int i = 0; i < v.kParts; ++i) v.part[i] = a.part[i] < b.part[i] ? a.part[i] : b.part[i];
  return v;
}
MICA_INLINE Ints max(const Ints& a, const Ints& b) {
  Ints v;
  for (int i = 0; i < v.kParts; ++i) v.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return v;
}

MICA_INLINE Floats to_floats(const Ints& v) {
  Floats to;
  for (int i = 0; i < to.kParts; ++i)
    to.part[i] = __builtin_convertvector(v.part[i], Floats::Native);
  return to;
}

// Sixteen bytes, zero-extended.
MICA_INLINE Ints load_bytes(const void* from) {
  uint8_t byte[kLanes];
  __builtin_memcpy(byte, from, kLanes);
  int32_t lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = byte[i];
  return load<Ints>(lane);
}
// Sign-extended.
MICA_INLINE Ints load_signed_bytes(const void* from) {
  int8_t byte[kLanes];
  __builtin_memcpy(byte, from, kLanes);
  int32_t lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = byte[i];
  return load<Ints>(lane);
}
// Low bytes.
MICA_INLINE void store_bytes(int8_t* to, const Ints& v) {
  int32_t lane[kLanes];
  store(lane, v);
  for (int i = 0; i < kLanes; ++i) to[i] = static_cast<int8_t>(lane[i]);
}

// Sixteen uint16, zero-extended.
MICA_INLINE Words load_shorts(const void* from) {
  uint16_t half[kLanes];
  __builtin_memcpy(half, from, sizeof(half));
  uint32_t lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = half[i];
  return load<Words>(lane);
}

// f16 in the low half of each lane. Multiplying by 2^112 moves the exponent's bias, subnormals too.
MICA_INLINE Floats halves_to_floats(const Words& halves) {
  Floats v = as<Floats>((halves & 0x7fffu) << 13) * splat<Floats>(0x1p112f);
  for (int i = 0; i < v.kParts; ++i) {
    const auto half = halves.part[i];
    // Infinity and NaN keep their exponent of ones.
    Words::Native bits = (Words::Native)v.part[i];
    bits |= (Words::Native)((half & 0x7c00u) == 0x7c00u) & 0x7f800000u;
    bits |= (half & 0x8000u) << 16;
    v.part[i] = (Floats::Native)bits;
  }
  return v;
}
MICA_INLINE Floats load_halves(const void* from) {
  return halves_to_floats(load_shorts(from));
}

// To nearest even; the steps are those of lib/base/half.h.
MICA_INLINE uint16_t to_half(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude >= 0x38800000u) {
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13);
  }
  float shifted;
  __builtin_memcpy(&shifted, &magnitude, 4);
  shifted += 0.5f;
  __builtin_memcpy(&bits, &shifted, 4);
  return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
}
MICA_INLINE void store_halves(uint16_t* to, const Floats& v) {
  float lane[kLanes];
  store(lane, v);
  for (int i = 0; i < kLanes; ++i) to[i] = to_half(lane[i]);
}

// Sums of products of up to 32 k of 4-bit codes, in 16 bits: at most 16 * 15 * 127 = 30480.
struct CodeSums {
  Shorts part[Ints::kParts];
  Ints start;
};
MICA_INLINE Ints fold_shorts(Ints total, const Shorts* sums) {
  for (int i = 0; i < total.kParts; ++i) {
    const auto pairs = (Ints::Native)sums[i];
    total.part[i] += (pairs << 16 >> 16) + (pairs >> 16);
  }
  return total;
}
template <int kFactor>
MICA_INLINE Ints end_codes(const CodeSums& sums) {
  return fold_shorts(sums.start, sums.part);
}

// The bytes 0, 2 and 1, 3 of a word of int8, as pairs of 16 bits.
struct Quad {
  Shorts even, odd;
};
MICA_INLINE Quad load_quad(const int8_t* a) {
  const auto pair = [](int8_t low, int8_t high) {
    const Ints::Native zero{};
    return (Shorts)(zero + ((low & 0xffff) | int32_t{high} * 65536));
  };
  return {pair(a[0], a[2]), pair(a[1], a[3])};
}

// Adds codes (bytes 0..15) times a: 4 products a lane.
MICA_INLINE void add_codes(CodeSums& sums, const Words& codes, const Quad& a) {
  for (int i = 0; i < codes.kParts; ++i) {
    const Shorts even = (Shorts)(codes.part[i] & 0x00ff00ffu);
    const Shorts odd = (Shorts)(codes.part[i] >> 8 & 0x00ff00ffu);
    sums.part[i] += even * a.even + odd * a.odd;
  }
}

MICA_INLINE CodeSums begin_codes(const Ints& start, const Words& codes, const Quad& a) {
  CodeSums sums{{}, start};
  add_codes(sums, codes, a);
  return sums;
}

// Adds w * a: at most 2 * 128 * 127 = 32512 in 16 bits.
MICA_INLINE void add_bytes(Ints& sums, const Words& w, const Quad& a) {
  Shorts products[Ints::kParts];
  for (int i = 0; i < w.kParts; ++i) {
    const Shorts even = (Shorts)w.part[i] << 8 >> 8;
    const Shorts odd = (Shorts)w.part[i] >> 8;
    products[i] = even * a.even + odd * a.odd;
  }
  sums = fold_shorts(sums, products);
}

// (sum - kMagicBits) * scale, rounded once; |sum - kMagicBits| < 2^22.
MICA_INLINE Floats scale_sums(const Ints& sums, float scale, float) {
  return to_floats(sums - splat<Ints>(kMagicBits)) * splat<Floats>(scale);
}

}  // namespace
}  // namespace mica::cpu
