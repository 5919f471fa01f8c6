// q8gN: symmetric 8-bit codes; embeddings, heads, sensitive tensors, imports of Q8_0 and Q5_0.
//
//   w = scale * (code - 128)    code 1..255, scale fp16, may be negative
//
// Slab: codes (panel.h), scales [K/g][16] fp16. 8.5 / 8.25 / 8.125 bits a weight at g = 32 / 64 /
// 128. Code 0 does not occur: -128 has no counterpart, and AVX2 forms products from |w| and a sign.
// A source's -128 becomes -127 (code 1) and is counted: a new scale for its group would cost
// more, half a step for every weight instead of one step for one.
//
// Round trip: decode is exact in float (11 + 7 bits); encode(decode(slab)) == slab for slabs made
// by encode from groups with scales in fp16's normal range.
#include "quant/panel.h"

namespace mica {
namespace {

using panel::Affine;
using panel::Constants;
using panel::Extent;

struct Q8 {
  static constexpr int kCodeBits = 8;
  static constexpr int kOffsetBytes = 0;
  static constexpr bool kHasMinimum = false;
  static constexpr int kMultiplier = 1;
  static constexpr int kLowCode = 1;
  static constexpr int kHighCode = 255;
  static constexpr int kZeroCode = 128;

  static Constants fit(Extent extent) {
    const float largest = -extent.low > extent.high ? -extent.low : extent.high;
    return {.scale = f32_to_f16(largest / (kHighCode - kZeroCode))};
  }

  static Constants solve(const Moments& moments) {
    return {.scale = panel::to_scale(panel::solve_step(moments, kZeroCode))};
  }

  static Affine affine(Constants constants) {
    return {.scale = f16_to_f32(constants.scale), .zero = kZeroCode};
  }

  static int grid_shift(const GridKind& kind) { return kZeroCode - kind.bias; }
  static Constants from_grid(float scale, float, const GridKind&) {
    return {.scale = f32_to_f16(scale)};
  }
};

static_assert(panel::packed_bytes<Q8>(32, 32) == 16 * (32 * 8 / 8 + 2));     // 8.5 bits
static_assert(panel::packed_bytes<Q8>(128, 128) == 16 * (128 * 8 / 8 + 2));  // 8.125 bits

bool carries(const GridKind& kind) {
  return panel::holds_codes<Q8>(kind) && !kind.has_minimum;
}

}  // namespace

extern const WeightType kType_q8;
constinit const WeightType kType_q8 = panel::make_type<Q8>(19, "q8", carries);

}  // namespace mica
