// What the rows of a matrix should be to give the outputs of the unquantized model with inputs that
// are not those of the unquantized model (arXiv:2504.02692): with x~ the input there and x here,
// the least squares of W x~ - W' x are W' = W + W mean((x~ - x) x^T) H^-1.
//
// A function of its arguments alone; rows do not depend on each other (see gptq.h).
#pragma once

#include "lib/tensor/view.h"
#include "quant/hessian.h"

namespace mica {

// Of a row's length: drift that asks for more is that of a model which fell apart.
constexpr double kMostChange = 0.5;

struct TargetFacts {
  View<const float> drift;  // [K, K], mean of x (x~ - x)^T
  double share = 1;         // of the way to W' that is gone
};

// Replaces at most kGptqRows rows by their targets. solver: of H, more damped than for rounding. A
// row whose target is not finite or more than kMostChange of its own length away stays as it is.
void aim(View<float> rows, const TargetFacts& facts, const Feedback& solver,
         const MatrixMath& math);

// Replaces each row b by x with x H = b.
void solve_rows(View<float> rows, const Feedback& feedback, const MatrixMath& math);

}  // namespace mica
