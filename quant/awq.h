// Activation-aware scaling (AWQ, arXiv:2306.00978): the columns of all matrices with one input are
// multiplied by factors, which are divided out where the input is made, so that channels with large
// inputs get the finer part of their groups' grids.
//
// A function of its arguments alone.
#pragma once

#include <span>
#include <vector>

#include "lib/tensor/view.h"
#include "quant/matrix_math.h"
#include "quant/weight_type.h"

namespace mica {

struct AwqTask {
  std::span<const View<const float>> matrices;  // [N, K] each, with one input
  const WeightType* type = nullptr;
  int group = 0;
  View<const float> hessian;  // [K, K], damped
};

struct AwqScaling {
  std::vector<float> factors;  // [K], all 1 where nothing helps
  double exponent = 0;
  double error_before = 0;  // tr(E H E^T) with searched scales, over the rows that were looked at
  double error_after = 0;
};

// Tries factors diag(H)^(exponent / 2), exponents 0 .. 1, on some hundred rows of each matrix.
AwqScaling choose_awq_scaling(const AwqTask& task, const MatrixMath& math);

}  // namespace mica
