// q4mgN: 4-bit codes with a minimum; imports of Q4_1 without loss and of Q4_K with scale products
// rounded to fp16.
//
//   w = scale * code + minimum    code 0..15, scale fp16, minimum fp16
//
// Slab: codes (panel.h), scales [K/g][16] fp16, minimums [K/g][16] fp16. 5.0 / 4.5 / 4.25 bits a
// weight at g = 32 / 64 / 128.
//
// Round trip: decode rounds once (the sum); encode(decode(slab)) == slab for slabs made by encode
// from groups with scales in fp16's normal range that are not narrow beside their distance from 0.
#include "quant/panel.h"

namespace mica {
namespace {

using panel::Affine;
using panel::Constants;
using panel::Extent;

struct Q4m {
  static constexpr int kCodeBits = 4;
  static constexpr int kOffsetBytes = 2;
  static constexpr bool kHasMinimum = true;
  static constexpr int kMultiplier = 1;
  static constexpr int kLowCode = 0;
  static constexpr int kHighCode = 15;
  static constexpr int kZeroCode = 0;

  static Constants fit(Extent extent) {
    return {f32_to_f16((extent.high - extent.low) / kHighCode), f32_to_f16(extent.low)};
  }

  static Constants solve(const Moments& moments) {
    const uint16_t minimum = panel::to_scale(panel::solve_line(moments).base);
    const double base = f16_to_f32(minimum);
    const double step = moments.cc > 0 ? (moments.cw - base * moments.c) / moments.cc : 0;
    return {panel::to_scale(step), minimum};
  }

  static Affine affine(Constants constants) {
    return {.scale = f16_to_f32(constants.scale), .minimum = f16_to_f32(constants.offset)};
  }

  static int grid_shift(const GridKind&) { return 0; }
  static Constants from_grid(float scale, float minimum, const GridKind&) {
    return {f32_to_f16(scale), f32_to_f16(minimum)};
  }
};

static_assert(panel::packed_bytes<Q4m>(32, 32) == 16 * (32 * 4 / 8 + 2 + 2));     // 5 bits
static_assert(panel::packed_bytes<Q4m>(128, 128) == 16 * (128 * 4 / 8 + 2 + 2));  // 4.25 bits

bool carries(const GridKind& kind) {
  return panel::holds_codes<Q4m>(kind) && kind.bias == 0;
}

}  // namespace

extern const WeightType kType_q4m;
constinit const WeightType kType_q4m = panel::make_type<Q4m>(18, "q4m", carries);

}  // namespace mica
