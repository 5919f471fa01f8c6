// Integer products of AVX-VNNI: vpdpbusd on 32-byte vectors (Intel Alder Lake and Sierra Forest,
// AMD Zen 5 and later).
#pragma once

#include "backends/cpu/simd/ymm_lanes.h"

namespace mica::cpu {
namespace {

constexpr int kStreamTokens = 8;
constexpr int kTileTokens = 6;
constexpr bool kFoldsCodes = true;
constexpr int kByteBias = 128;

// Adds bytes (0..255) times a: 4 products a lane. In assembly, because GCC 12 spills accumulators
// of _mm256_dpbusd_avx_epi32 that live across a loop.
MICA_INLINE void add_bytes(Ints& sums, const Words& bytes, const Quad& a) {
  for (int i = 0; i < 2; ++i) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums.part[i]) : "x"(bytes.part[i]), "x"(a));
  }
}

}  // namespace
}  // namespace mica::cpu

#include "backends/cpu/simd/codes_as_bytes.h"
