#include "lib/runtime/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace mica {
namespace {

double plain_mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Mean product of the distances from the means.
double covariance(std::span<const double> x, std::span<const double> y) {
  const double mean_x = plain_mean(x), mean_y = plain_mean(y);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean_x) * (y[i] - mean_y);
  return sum / static_cast<double>(x.size());
}

}  // namespace

double log_sum_exp(std::span<const float> logits) {
  const float greatest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - greatest);
  return greatest + std::log(sum);
}

Estimate mean_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  return {plain_mean(values), n > 1 ? std::sqrt(covariance(values, values) / (n - 1)) : 0};
}

Estimate exponential(const Estimate& e) {
  return {std::exp(e.value), std::exp(e.value) * e.standard_error};
}

Estimate square_root(const Estimate& e) {
  const double root = std::sqrt(e.value);
  return {root, root > 0 ? 0.5 / root * e.standard_error : 0};
}

double correlation(std::span<const double> x, std::span<const double> y) {
  const double scale = std::sqrt(covariance(x, x) * covariance(y, y));
  return scale > 0 ? covariance(x, y) / scale : 0;
}

double Distribution::quantile(std::string_view name) const {
  const auto* found = std::ranges::find(kQuantiles, name, &Quantile::name);
  return quantiles.at(static_cast<size_t>(found - kQuantiles));
}

Distribution distribution_of(std::span<const double> values) {
  Distribution result{.mean = mean_of(values)};
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < result.quantiles.size(); ++i) {
    const double place = kQuantiles[i].fraction * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<size_t>(place);
    const double above = sorted[std::min(below + 1, sorted.size() - 1)];
    result.quantiles[i] = std::lerp(sorted[below], above, place - static_cast<double>(below));
  }
  return result;
}

}  // namespace mica
