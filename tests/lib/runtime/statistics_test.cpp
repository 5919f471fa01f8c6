#include "lib/runtime/statistics.h"

#include <cmath>
#include <doctest/doctest.h>
#include <vector>

namespace mica::testing {
namespace {

// Sums of a few numbers in doubles.
constexpr double kExact = 1e-14;

TEST_CASE("a mean has the standard error of its sample") {
  const std::vector<double> values = {1, 2, 3, 6};
  const Estimate mean = mean_of(values);
  CHECK(mean.value == doctest::Approx(3).epsilon(kExact));
  // Squares of distances 4 + 1 + 0 + 9 over n - 1 = 3 and n = 4.
  CHECK(mean.standard_error == doctest::Approx(std::sqrt(14.0 / 3 / 4)).epsilon(kExact));
  CHECK(mean_of(std::vector<double>{5}).standard_error == 0);
}

TEST_CASE("errors go through exp and square root by their slopes") {
  const Estimate up = exponential({2, 0.5});
  CHECK(up.value == doctest::Approx(std::exp(2)).epsilon(kExact));
  CHECK(up.standard_error == doctest::Approx(0.5 * std::exp(2)).epsilon(kExact));
  const Estimate root = square_root({9, 0.6});
  CHECK(root.value == 3);
  CHECK(root.standard_error == doctest::Approx(0.1).epsilon(kExact));
  CHECK(square_root({0, 0}).standard_error == 0);
}

TEST_CASE("a correlation is 1 for a line up, -1 for a line down, 0 for what does not vary") {
  const std::vector<double> x = {1, 2, 4}, up = {3, 5, 9}, down = {0, -1, -3}, flat = {7, 7, 7};
  CHECK(correlation(x, up) == doctest::Approx(1).epsilon(kExact));
  CHECK(correlation(x, down) == doctest::Approx(-1).epsilon(kExact));
  CHECK(correlation(x, flat) == 0);
}

TEST_CASE("quantiles are interpolated between neighbours of the sorted values") {
  std::vector<double> values;
  for (int i = 0; i <= 100; ++i) values.push_back((i * 37) % 101);  // 0 .. 100, shuffled
  const Distribution all = distribution_of(values);
  CHECK(all.quantile("min") == 0);
  CHECK(all.quantile("p1") == doctest::Approx(1));
  CHECK(all.quantile("median") == 50);
  CHECK(all.quantile("p99") == doctest::Approx(99));
  CHECK(all.quantile("p99_9") == doctest::Approx(99.9));
  CHECK(all.quantile("max") == 100);
  CHECK(distribution_of(std::vector<double>{2, 1}).quantile("median") == 1.5);
  CHECK(distribution_of(std::vector<double>{3}).quantile("p90") == 3);
}

TEST_CASE("the logarithm of a sum of exponentials holds for logits that would overflow") {
  const std::vector<float> logits = {1000, 1000};
  CHECK(log_sum_exp(logits) == doctest::Approx(1000 + std::log(2)).epsilon(kExact));
}

}  // namespace
}  // namespace mica::testing
