#include "quant/group_search.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "tests/quant/calibration_samples.h"

namespace mica {
namespace {

double error_of(const WeightType& type, GroupConstants constants, const std::vector<float>& w,
                const std::vector<float>& importance) {
  std::vector<uint8_t> codes(w.size());
  choose_codes(type, constants, w.data(), static_cast<int>(w.size()), codes.data());
  const GroupGrid grid = type.grid(constants);
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) {
    const double difference = w[i] - (double{grid.step} * codes[i] + grid.base);
    sum += importance[i] * difference * difference;
  }
  return sum;
}

GroupConstants plain_fit(const WeightType& type, const std::vector<float>& w) {
  const auto [low, high] = std::minmax_element(w.begin(), w.end());
  return type.fit(*low, *high);
}

TEST_CASE("the search is never worse than rounding to nearest, weighted or not") {
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) {
      for (unsigned seed = 0; seed < 50; ++seed) {
        const auto w = gaussians(group, seed);
        std::vector<float> importance = gaussians(group, seed + 1000);
        for (float& h : importance) h = std::exp(2 * h);
        const std::vector<float> alike(w.size(), 1.0f);
        const double plain = error_of(*type, plain_fit(*type, w), w, importance);
        const auto searched = search_group(*type, w.data(), importance.data(), group);
        CHECK(error_of(*type, searched, w, importance) <= plain * (1 + 1e-5));
        const auto unweighted = search_group(*type, w.data(), nullptr, group);
        CHECK(error_of(*type, unweighted, w, alike) <=
              error_of(*type, plain_fit(*type, w), w, alike) * (1 + 1e-5));
      }
    }
  }
}

TEST_CASE("weights of importance that lie on a grid are found again beside one that does not") {
  // Step 1/16 and a base that every type can hold; the outlier would make the range half as wide
  // again.
  for (const WeightType* type : weight_types()) {
    const std::string_view name = type->prefix;
    CAPTURE(name);
    // All the codes that the type has, so that the grid is the only one.
    const int low = name == "q8" ? -127 : -8, high = name == "q8" ? 127 : 7;
    std::vector<float> w(32), importance(32, 1.0f);
    for (int i = 0; i < 32; ++i) w[i] = static_cast<float>(low + i * 37 % (high - low + 1)) / 16;
    w[5] = static_cast<float>(low) / 16;
    w[6] = static_cast<float>(high) / 16;
    w[9] = 1.6f * static_cast<float>(high) / 16;
    importance[9] = 0;
    const auto found = search_group(*type, w.data(), importance.data(), 32);
    CHECK(error_of(*type, found, w, importance) < 1e-6);
    CHECK(error_of(*type, plain_fit(*type, w), w, importance) > 1e-3);
  }
}

TEST_CASE("no scale near the one found for q4s is better by more than the rounding of scales") {
  // The codes make the error a curve of arcs; the search must end at the bottom of a good one. All
  // scales that fp16 has within a factor of two are tried.
  const WeightType& type = weight_type("q4s");
  double found = 0, best = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    const auto w = gaussians(32, seed);
    const std::vector<float> alike(32, 1.0f);
    const GroupConstants constants = search_group(type, w.data(), nullptr, 32);
    double least = 1e30;
    for (int step = -1024; step <= 1024; ++step) {
      const auto scale = static_cast<uint16_t>(constants.scale + step);
      least = std::min(least, error_of(type, {.scale = scale}, w, alike));
    }
    found += error_of(type, constants, w, alike);
    best += least;
  }
  CHECK(found <= 1.05 * best);
}

TEST_CASE("importances that are all zero count as equal ones") {
  const WeightType& type = weight_type("q4");
  const auto w = gaussians(64, 3);
  const std::vector<float> none(64, 0.0f);
  CHECK(search_group(type, w.data(), none.data(), 64) == search_group(type, w.data(), nullptr, 64));
}

TEST_CASE("groups of zeros, constants and the largest weights keep finite constants") {
  for (const WeightType* type : weight_types()) {
    for (const float value : {0.0f, 0.25f, -0.25f, 65504.0f, -65504.0f, 1e-12f}) {
      const std::vector<float> w(32, value), importance(32, 1.0f);
      const auto constants = search_group(*type, w.data(), importance.data(), 32);
      const GroupGrid grid = type->grid(constants);
      CHECK(std::isfinite(grid.step));
      CHECK(std::isfinite(grid.base));
      CHECK(std::sqrt(error_of(*type, constants, w, importance) / 32) <=
            std::fabs(value) * 0.01 + 1e-7);
    }
  }
}

}  // namespace
}  // namespace mica
