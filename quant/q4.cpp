// q4gN: 4-bit codes with a zero point in eighths of a step; what quantizers emit.
//
//   w = scale * (code - zero / 8)        code 0..15, scale fp16, zero one byte 0..128
//     = scale / 8 * (8 * code - zero)    the integer lies in -128..120
//
// Slab: codes (panel.h), scales [K/g][16] fp16, zeros [K/g][16] u8. 4.75 / 4.375 / 4.1875 bits a
// weight at g = 32 / 64 / 128. Eighths, because integer zeros double the loss of quality, and an
// integer that fits a signed byte keeps the fast products exact.
//
// Round trip: decode is exact in float (11 + 8 bits); encode(decode(slab)) == slab for slabs made
// by encode from groups with scales in fp16's normal range.
#include "quant/panel.h"

namespace mica {
namespace {

using panel::Affine;
using panel::Constants;
using panel::Extent;

struct Q4 {
  static constexpr int kCodeBits = 4;
  static constexpr int kOffsetBytes = 1;
  static constexpr bool kHasMinimum = false;
  static constexpr int kMultiplier = 8;
  static constexpr int kLowCode = 0;
  static constexpr int kHighCode = 15;
  static constexpr int kZeroCode = 0;
  static constexpr int kMaxZero = 128;

  // The range is widened to hold 0, since zeros outside 0..120 would leave it out by more than a
  // step. The zero is chosen for the scale as rounded.
  static Constants fit(Extent extent) {
    const float low = extent.low < 0 ? extent.low : 0;
    const float high = extent.high > 0 ? extent.high : 0;
    const uint16_t scale = f32_to_f16((high - low) / kHighCode);
    const float step = f16_to_f32(scale);
    if (step == 0) return {};
    const float zero = panel::clamp(-low * kMultiplier / step, 0, kMaxZero);
    return {scale, static_cast<uint16_t>(panel::round_to_int(zero))};
  }

  static Constants solve(const Moments& moments) {
    const panel::Line line = panel::solve_line(moments);
    if (line.step == 0) return {};
    const auto zero = static_cast<float>(-line.base / line.step);
    const int eighths = panel::round_to_int(panel::clamp(zero * kMultiplier, 0, kMaxZero));
    const double step = panel::solve_step(moments, static_cast<double>(eighths) / kMultiplier);
    return {panel::to_scale(step), static_cast<uint16_t>(eighths)};
  }

  static Affine affine(Constants constants) {
    return {.scale = f16_to_f32(constants.scale) / kMultiplier, .zero = constants.offset};
  }

  // An integer zero z is 8 z eighths.
  static int grid_shift(const GridKind&) { return 0; }
  static Constants from_grid(float scale, float, const GridKind& kind) {
    return {f32_to_f16(scale), static_cast<uint16_t>(kMultiplier * kind.bias)};
  }
};

static_assert(panel::packed_bytes<Q4>(32, 32) == 16 * (32 * 4 / 8 + 2 + 1));     // 4.75 bits
static_assert(panel::packed_bytes<Q4>(128, 128) == 16 * (128 * 4 / 8 + 2 + 1));  // 4.1875 bits

bool carries(const GridKind& kind) {
  return panel::holds_codes<Q4>(kind) && !kind.has_minimum && kind.bias >= 0 &&
         Q4::kMultiplier * kind.bias <= Q4::kMaxZero;
}

}  // namespace

extern const WeightType kType_q4;
constinit const WeightType kType_q4 = panel::make_type<Q4>(16, "q4", carries);

}  // namespace mica
