#include "quant/awq.h"

#include <cmath>
#include <doctest/doctest.h>

#include "tests/quant/calibration_samples.h"

namespace mica {
namespace {

TEST_CASE("channels with inputs alike need no factors") {
  std::vector<float> hessian(64 * 64);
  for (int64_t i = 0; i < 64; ++i) hessian[i * 64 + i] = 2;
  const auto weights = gaussians(20 * 64, 1);
  const View<const float> matrices[] = {{weights.data(), 20, 64}};
  const AwqScaling scaling = choose_awq_scaling({.matrices = matrices,
                                                 .type = &weight_type("q4"),
                                                 .group = 32,
                                                 .hessian = {hessian.data(), 64, 64}},
                                                kPlainMath);
  CHECK(scaling.exponent == 0);
  for (const float factor : scaling.factors) CHECK(factor == 1);
}

TEST_CASE("factors are powers of the inputs' sizes, chosen only where the error falls") {
  const auto weights = gaussians(200 * 64, 2);
  const View<const float> matrices[] = {{weights.data(), 150, 64}, {&weights[150 * 64], 50, 64}};
  int helped = 0;
  for (const float size : {2.0f, 4.0f, 8.0f, 16.0f}) {
    std::vector<float> hessian(64 * 64);
    for (int64_t i = 0; i < 64; ++i) hessian[i * 64 + i] = i % 16 == 5 ? size : 1.0f;
    const AwqScaling scaling = choose_awq_scaling({.matrices = matrices,
                                                   .type = &weight_type("q4s"),
                                                   .group = 64,
                                                   .hessian = {hessian.data(), 64, 64}},
                                                  kPlainMath);
    CHECK((scaling.exponent > 0) == (scaling.error_after < scaling.error_before));
    CHECK(scaling.factors[5] / scaling.factors[0] ==
          doctest::Approx(std::pow(size, scaling.exponent / 2)));
    helped += scaling.exponent > 0;
  }
  CHECK(helped > 0);
}

}  // namespace
}  // namespace mica
