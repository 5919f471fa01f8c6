// Calls of the product operations on data of the suite: each places its arguments in the backend's
// memory, reserves exactly what the call needs, and returns the output.
#pragma once

#include "tests/lib/backend/conformance_data.h"

namespace mica::conformance {

struct ProductInput {
  int64_t tokens = 0;
  int64_t cols = 0;
  std::vector<float> x;            // [T, K]
  std::vector<float> norm_weight;  // [K] or empty
  float epsilon = 1e-5f;

  ProductInput rows(int64_t first, int64_t count) const {
    return {count, cols, rows_of(x, cols, first, count), norm_weight, epsilon};
  }
};

struct TestProjection {
  TestWeight weight;
  std::vector<float> bias;  // [N] or empty
};

std::vector<std::vector<float>> run_norm_linear(Backend& backend, const ProductInput& input,
                                                const std::vector<TestProjection>& projections);
std::vector<float> run_linear_add(Backend& backend, const ProductInput& input,
                                  const TestProjection& projection,
                                  const std::vector<float>& residual);
std::vector<float> run_logits(Backend& backend, const ProductInput& input,
                              const std::vector<int32_t>& rows, const TestWeight& head);
std::vector<float> run_gated_linear(Backend& backend, const ProductInput& input,
                                    const TestProjection& gate, const TestProjection& up);

// x after its norm, in double; x itself where there is no norm.
std::vector<double> normalize(const ProductInput& input);

// How far a backend's product may be from the reference's, [T, N].
std::vector<double> integer_tolerance(const ProductInput& input, const TestProjection& projection);
std::vector<double> float_tolerance(const ProductInput& input, const TestProjection& projection);

}  // namespace mica::conformance
