// The moments of what a layer's matrices are multiplied with over the calibration text, of one of
// its four inputs at a time (layer_inputs.h).
//
// Sums are taken tile by tile, in the order of the steps: the result does not depend on threads.
#pragma once

#include <functional>
#include <vector>

#include "lib/runtime/calibration_pass.h"
#include "lib/runtime/source_layer.h"
#include "quant/matrix_math.h"

namespace mica {

// A layer with its matrices as they are by now, and the stream before it with all layers before
// quantized; and the same of the unquantized model, where drift is asked for.
struct LayerInWork {
  int layer = 0;
  const SourceLayer& source;
  const CalibrationPass& stream;
  const SourceLayer* unquantized = nullptr;
  const CalibrationPass* unquantized_stream = nullptr;
};

// How rows x count is part of them all (TapBackend).
struct InputMoments {
  std::vector<float> hessian;  // [K, K], shrunk and damped (Regularization)
  std::vector<float> drift;    // [K, K], mean of x (x~ - x)^T, x~ that of the unquantized model;
                               // shrunk alike; empty: not asked for
};

// Throws Error(kInvalidFile) for inputs that are not finite. `between` as of the pass.
InputMoments observe_input(const LayerInWork& work, size_t input, const Engine& engine,
                           const MatrixMath& math, const std::function<void()>& between);

}  // namespace mica
