// Primitives in four vectors of 16 bytes: AArch64 with dot products of bytes (Arm Cortex-A76 and
// Neoverse N1, Apple M1 and later).
#pragma once

#include <arm_neon.h>

#include "backends/cpu/simd/lanes.h"

namespace mica::cpu {
namespace {

using Floats = Lanes<float, 16>;
using Ints = Lanes<int32_t, 16>;
using Words = Lanes<uint32_t, 16>;  // a 64-byte line

constexpr int kStreamTile = 4;
constexpr int kStreamTilePanels = 1;
constexpr int kStreamTokens = 8;
constexpr int kTilePanels = 1;
constexpr int kTileTokens = 4;
constexpr int kFloatTokens = 4;
constexpr int kAttendRows = 6;
constexpr int kAccumulators = 6;
constexpr bool kFoldsCodes = true;
constexpr int kByteBias = 0;

template <class V, class F>
MICA_INLINE V each_part(F f) {
  V v;
  for (int i = 0; i < V::kParts; ++i) v.part[i] = (typename V::Native)f(i);
  return v;
}

MICA_INLINE Floats fma(const Floats& a, const Floats& b, const Floats& c) {
  return each_part<Floats>([&](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
}
MICA_INLINE Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
  return fma(a, b, c);
}

MICA_INLINE Floats max(const Floats& a, const Floats& b) {
  return each_part<Floats>([&](int i) { return vmaxnmq_f32(a.part[i], b.part[i]); });
}
MICA_INLINE Floats min(const Floats& a, const Floats& b) {
  return each_part<Floats>([&](int i) { return vminq_f32(a.part[i], b.part[i]); });
}
MICA_INLINE Ints max(const Ints& a, const Ints& b) {
  return each_part<Ints>([&](int i) { return vmaxq_s32(a.part[i], b.part[i]); });
}

MICA_INLINE Floats to_floats(const Ints& v) {
  return each_part<Floats>([&](int i) { return vcvtq_f32_s32(v.part[i]); });
}

// Sixteen uint16, zero-extended.
MICA_INLINE Words load_shorts(const void* from) {
  const auto* shorts = static_cast<const uint16_t*>(from);
  return each_part<Words>([&](int i) { return vmovl_u16(vld1_u16(shorts + 4 * i)); });
}

// Sixteen bytes, zero-extended.
MICA_INLINE Ints load_bytes(const void* from) {
  const uint8x16_t bytes = vld1q_u8(static_cast<const uint8_t*>(from));
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
  return {{(Ints::Native)vmovl_u16(vget_low_u16(low)), (Ints::Native)vmovl_high_u16(low),
           (Ints::Native)vmovl_u16(vget_low_u16(high)), (Ints::Native)vmovl_high_u16(high)}};
}
// Sign-extended.
MICA_INLINE Ints load_signed_bytes(const void* from) {
  const int8x16_t bytes = vld1q_s8(static_cast<const int8_t*>(from));
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
  return {{(Ints::Native)vmovl_s16(vget_low_s16(low)), (Ints::Native)vmovl_high_s16(low),
           (Ints::Native)vmovl_s16(vget_low_s16(high)), (Ints::Native)vmovl_high_s16(high)}};
}
// Low bytes.
MICA_INLINE void store_bytes(int8_t* to, const Ints& v) {
  const int16x8_t low = vmovn_high_s32(vmovn_s32(v.part[0]), v.part[1]);
  const int16x8_t high = vmovn_high_s32(vmovn_s32(v.part[2]), v.part[3]);
  vst1q_s8(to, vmovn_high_s16(vmovn_s16(low), high));
}

MICA_INLINE Floats load_halves(const void* from) {
  const auto* halves = static_cast<const uint16_t*>(from);
  return each_part<Floats>(
      [&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves + 4 * i))); });
}
MICA_INLINE void store_halves(uint16_t* to, const Floats& v) {
  for (int i = 0; i < v.kParts; ++i) {
    vst1_u16(to + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(v.part[i])));
  }
}

using Quad = int8x8_t;  // four int8, and four zeros
MICA_INLINE Quad load_quad(const int8_t* a) {
  uint32_t word;
  __builtin_memcpy(&word, a, 4);
  return vcreate_s8(word);
}

// Adds w * a: 4 products a lane.
MICA_INLINE void add_bytes(Ints& sums, const Words& w, const Quad& a) {
  for (int i = 0; i < w.kParts; ++i) {
    sums.part[i] = (Ints::Native)vdotq_lane_s32(sums.part[i], (int8x16_t)w.part[i], a, 0);
  }
}

// (sum - kMagicBits) * scale, rounded once; |sum - kMagicBits| < 2^22, magic = kMagic * scale. The
// sum's bits are the float kMagic + D, and fma rounds only at its end.
MICA_INLINE Floats scale_sums(const Ints& sums, float scale, float magic) {
  return fma(as<Floats>(sums), splat<Floats>(scale), splat<Floats>(-magic));
}

}  // namespace
}  // namespace mica::cpu

#include "backends/cpu/simd/codes_as_bytes.h"
