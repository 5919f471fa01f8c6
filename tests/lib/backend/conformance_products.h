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
  NormKind kind = NormKind::kRms;
  std::vector<float> norm_bias = {};  // [K] or empty

  ProductInput rows(int64_t first, int64_t count) const {
    return {count, cols, rows_of(x, cols, first, count), norm_weight, epsilon, kind, norm_bias};
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
                                  const std::vector<float>& residual, float scale = 1);
struct LogitsEnd {
  float scale = 1;
  float softcap = 0;
};
std::vector<float> run_logits(Backend& backend, const ProductInput& input,
                              const std::vector<int32_t>& rows, const TestWeight& head,
                              const LogitsEnd& end = {});
// Without a gate where it is null.
std::vector<float> run_gated_linear(Backend& backend, const ProductInput& input,
                                    const TestProjection* gate, const TestProjection& up,
                                    Activation activation);
// The residual; the input has a norm.
std::vector<float> run_norm_add(Backend& backend, const ProductInput& input,
                                const std::vector<float>& residual, float scale);

// x after its norm, in double; x itself where there is no norm.
std::vector<double> normalize(const ProductInput& input);

// Relative error of a norm's common factor: a float sum of squares in at least a few lanes, halved
// by the square root, and a few roundings more. (Plain left-to-right sums stay below it too, since
// roundings of either sign cancel.)
double norm_factor_error(int64_t cols);
// How far normalize() may be from a norm in floats, [T, K].
std::vector<double> norm_tolerance(const ProductInput& input);

// How far a backend's product may be from the reference's, [T, N].
std::vector<double> integer_tolerance(const ProductInput& input, const TestProjection& projection);
std::vector<double> float_tolerance(const ProductInput& input, const TestProjection& projection);
// From the float product, where both factors are rounded to bf16.
std::vector<double> bf16_tolerance(const ProductInput& input, const TestProjection& projection);

// norm_linear of a panel type as any call must give its rows: those of `exact` to the bit, or in
// calls of too many tokens near the float product.
class ExpectedRows {
 public:
  ExpectedRows(const Bench& bench, std::vector<float> exact, const ProductInput& input,
               const TestProjection& projection);
  // "" or where a call of the input's rows [first, first + tokens) gave others.
  std::string find_difference(int64_t first, int64_t tokens,
                              const std::vector<float>& actual) const;

 private:
  const Bench& bench_;
  int64_t row_size_;
  std::vector<float> exact_, rounded_;
  std::vector<double> tolerance_;  // of rounded_
};

}  // namespace mica::conformance
