// Quantizes the matrices of one layer with what their inputs are like over the calibration text,
// given what the matrices before them in the layer have become.
//
// The result does not depend on threads: rows are worked on in pieces that are always the same.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "lib/runtime/calibration_options.h"
#include "lib/runtime/calibration_pass.h"
#include "lib/runtime/source_layer.h"
#include "lib/tensor/dtype.h"

namespace mica {

// A matrix; with AWQ also the norms and biases that took in the factors, as f32 and without errors.
struct CalibratedTensor {
  Role role;
  std::vector<std::byte> bytes;  // as the file has them
  // sqrt(tr(E H E^T) / tr(W H W^T)): the error of the layer's output, after rounding to nearest and
  // at the end.
  double nearest_error = 0;
  double output_error = 0;
  double relative_error = 0;  // ||w - w'|| / ||w||
};

struct LayerTask {
  int layer = 0;
  std::map<Role, DType> dtypes;  // of the matrices to quantize, all panel types
  CalibrationEffort effort = CalibrationEffort::kSearch;
  bool awq = false;
};

// Whether matrices are quantized towards the outputs that they have in the unquantized model.
bool aims(CalibrationEffort effort);

// The streams before the layer.
struct LayerStreams {
  const CalibrationPass& here;                   // with all layers before quantized
  const CalibrationPass* unquantized = nullptr;  // with none; where effort aims
};

struct LayerModel {
  const Importer& importer;
  const ModelConfig& config;
  const Engine& engine;
};

// Leaves in `source` what the weights have become. `between` is called from time to time, without
// the engine's lock, and may throw.
std::vector<CalibratedTensor> calibrate_layer(SourceLayer& source, const LayerTask& task,
                                              const LayerStreams& streams, const LayerModel& model,
                                              const std::function<void()>& between);

}  // namespace mica
