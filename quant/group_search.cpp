#include "quant/group_search.h"

#include <algorithm>

#include "quant/panel.h"

namespace mica {
namespace {

constexpr int kLanes = 8;  // compilers keep the order of a plain sum, so that sums have lanes
// Shares of the least and the greatest weight that a range begins with.
struct Clip {
  float low, high;
};
constexpr Clip kClips[] = {{1, 1},         {0.92f, 0.92f}, {0.84f, 0.84f}, {0.76f, 0.76f},
                           {0.68f, 0.68f}, {0.6f, 0.6f},   {1, 0.8f},      {1, 0.6f},
                           {0.8f, 1},      {0.6f, 1}};
constexpr int kRefits = 2;

struct GroupView {
  const float* w;
  const float* h;
  int size;
};

float nearest(float code, const WeightType& type) {
  constexpr float kRounder = 12582912.0f;  // as panel::round_to_int
  return panel::clamp(code, type.low_code, type.high_code) + kRounder - kRounder;
}

float inverse_of(float step) {
  return step == 0 ? 0 : 1 / step;
}

double sum(const float (&lanes)[kLanes]) {
  double total = 0;
  for (const float lane : lanes) total += lane;
  return total;
}

// Chooses the codes (as floats) and returns the weighted square error.
double quantize(const WeightType& type, const GroupGrid& grid, const GroupView& g, float* codes) {
  const float inverse = inverse_of(grid.step), low = type.low_code, high = type.high_code;
  constexpr float kRounder = 12582912.0f;
  float error[kLanes] = {};
  for (int i = 0; i < g.size; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float code = (g.w[i + j] - grid.base) * inverse;
      const float capped = code < high ? code : high;
      const float rounded = (capped > low ? capped : low) + kRounder - kRounder;
      const float difference = g.w[i + j] - (grid.step * rounded + grid.base);
      codes[i + j] = rounded;
      error[j] += g.h[i + j] * difference * difference;
    }
  }
  return sum(error);
}

Moments moments_of(const GroupView& g, const float* codes) {
  float one[kLanes] = {}, c[kLanes] = {}, cc[kLanes] = {}, w[kLanes] = {}, cw[kLanes] = {};
  for (int i = 0; i < g.size; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      const float h = g.h[i + j], hc = h * codes[i + j];
      one[j] += h;
      c[j] += hc;
      cc[j] += hc * codes[i + j];
      w[j] += h * g.w[i + j];
      cw[j] += hc * g.w[i + j];
    }
  }
  return {sum(one), sum(c), sum(cc), sum(w), sum(cw)};
}

}  // namespace

GroupConstants search_group(const WeightType& type, const float* weights, const float* importance,
                            int group) {
  float alike[panel::kMaxGroup];
  std::fill_n(alike, group, 1.0f);
  const bool has_importance =
      importance && std::any_of(importance, importance + group, [](float h) { return h > 0; });
  const GroupView g{weights, has_importance ? importance : alike, group};
  const panel::Extent extent = panel::extent(weights, group);
  GroupConstants best;
  double least = -1;
  float codes[panel::kMaxGroup];
  for (const Clip& clip : kClips) {
    GroupConstants constants = type.fit(extent.low * clip.low, extent.high * clip.high);
    for (int refit = 0; refit <= kRefits; ++refit) {
      const double error = quantize(type, type.grid(constants), g, codes);
      if (least < 0 || error < least) {
        least = error;
        best = constants;
      }
      if (refit == kRefits) break;
      const GroupConstants solved = type.solve(moments_of(g, codes));
      if (solved == constants) break;
      constants = solved;
    }
  }
  return best;
}

void choose_codes(const WeightType& type, GroupConstants constants, const float* weights, int group,
                  uint8_t* codes) {
  const GroupGrid grid = type.grid(constants);
  const float inverse = inverse_of(grid.step);
  for (int i = 0; i < group; ++i) {
    codes[i] = static_cast<uint8_t>(nearest((weights[i] - grid.base) * inverse, type));
  }
}

}  // namespace mica
