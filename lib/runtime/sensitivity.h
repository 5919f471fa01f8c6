// How much a model suffers when one layer's matrices are rounded: the KL divergence of its
// predictions from those of the unharmed model, one set of matrices with a common input at a time.
//
// One pass over the layers, which holds the streams of all the harmed models. The result does not
// depend on threads.
#pragma once

#include <functional>
#include <vector>

#include "lib/runtime/calibration_pass.h"
#include "lib/tensor/dtype.h"

namespace mica {

struct Sensitivity {
  int layer = 0;
  std::vector<Role> roles;    // with the same input
  double kl = 0;              // mean over the scored positions
  double relative_error = 0;  // ||w - w'|| / ||w|| of the rounding that was measured
};

// The type that matrices are rounded to, to nearest; where its group does not divide K there is no
// measurement.
DType harm_dtype();

// `report` is told the share that is done, and may throw.
std::vector<Sensitivity> measure_sensitivity(const Importer& importer, const ModelConfig& config,
                                             const Engine& engine,
                                             const CalibrationWindows& windows,
                                             const std::function<void(double share)>& report);

// Rounds the matrix to nearest, in place; returns ||w - w'|| / ||w||. Not while the engine's lock
// is held.
double round_matrix(View<float> weights, const DType& dtype, const Engine& engine);

}  // namespace mica
