// q4sgN: symmetric 4-bit codes; imports of Q4_0 and symmetric GPTQ without loss.
//
//   w = scale * (code - 8)    code 0..15, scale fp16, may be negative
//
// Slab: codes (panel.h), scales [K/g][16] fp16. 4.5 / 4.25 / 4.125 bits a weight at g = 32 / 64 /
// 128.
//
// Round trip: decode is exact in float (11 + 4 bits); encode(decode(slab)) == slab for slabs made
// by encode from groups with scales in fp16's normal range.
#include "quant/panel.h"

namespace mica {
namespace {

using panel::Affine;
using panel::Constants;
using panel::Extent;

struct Q4s {
  static constexpr int kCodeBits = 4;
  static constexpr int kOffsetBytes = 0;
  static constexpr bool kHasMinimum = false;
  static constexpr int kMultiplier = 1;
  static constexpr int kLowCode = 0;
  static constexpr int kHighCode = 15;
  static constexpr int kZeroCode = 8;

  // The weight of largest magnitude gets code 0, which reaches one step further than code 15: the
  // sign of the scale follows from it, as in Q4_0. (0 - x, so that zeros do not give -0.)
  static Constants fit(Extent extent) {
    const float largest = -extent.low >= extent.high ? extent.low : extent.high;
    return {.scale = f32_to_f16((0 - largest) / kZeroCode)};
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

static_assert(panel::packed_bytes<Q4s>(32, 32) == 16 * (32 * 4 / 8 + 2));     // 4.5 bits
static_assert(panel::packed_bytes<Q4s>(128, 128) == 16 * (128 * 4 / 8 + 2));  // 4.125 bits

bool carries(const GridKind& kind) {
  return panel::holds_codes<Q4s>(kind) && !kind.has_minimum;
}

}  // namespace

extern const WeightType kType_q4s;
constinit const WeightType kType_q4s = panel::make_type<Q4s>(17, "q4s", carries);

}  // namespace mica
