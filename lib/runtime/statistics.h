// Means with standard errors, and quantiles, as llama-perplexity counts them.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace mica {

struct Estimate {
  double value = 0;
  double standard_error = 0;
};

// log of the sum of exp(logits), which are not empty.
double log_sum_exp(std::span<const float> logits);

// Mean of `values` (not empty), and its standard error: 0 for a single value.
Estimate mean_of(std::span<const double> values);
// exp and square root of an estimate, their errors to first order.
Estimate exponential(const Estimate& e);
Estimate square_root(const Estimate& e);
// Pearson's; 0 where one of them does not vary.
double correlation(std::span<const double> x, std::span<const double> y);

struct Quantile {
  std::string_view name;  // in JSON
  double fraction;
};
constexpr Quantile kQuantiles[] = {{"max", 1},   {"p99_9", 0.999}, {"p99", 0.99},   {"p95", 0.95},
                                   {"p90", 0.9}, {"p75", 0.75},    {"median", 0.5}, {"p25", 0.25},
                                   {"p10", 0.1}, {"p5", 0.05},     {"p1", 0.01},    {"p0_1", 0.001},
                                   {"min", 0}};

struct Distribution {
  Estimate mean;
  std::array<double, std::size(kQuantiles)> quantiles{};  // interpolated

  double quantile(std::string_view name) const;  // a name of kQuantiles
};
Distribution distribution_of(std::span<const double> values);

}  // namespace mica
