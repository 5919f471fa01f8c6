// How far each layer's output of a model is from a reference model's on the same tokens: where
// quantization errors come in, and whether they grow.
//
// Both models go through every window, the reference a step ahead; what is held of it is at most 64
// MiB.
#pragma once

#include <vector>

#include "lib/base/log.h"
#include "lib/runtime/kl_base.h"
#include "lib/runtime/loaded_model.h"
#include "lib/runtime/statistics.h"

namespace mica {

// Of the residual stream behind a layer: |x - x_reference| / |x_reference|, a token each.
struct LayerError {
  Estimate mean;
  double max = 0;
};

// Throws Error(kUsage) when the models differ in layers, widths or vocabulary.
void require_same_shape(const LoadedModel& model, const LoadedModel& reference);

// The models have the same shape. Throws Error(kInterrupted) when progress (windows) returns false.
std::vector<LayerError> compare_layers(const LoadedModel& model, const LoadedModel& reference,
                                       const EvaluationWindows& windows, KvType kv,
                                       const Progress& progress);

}  // namespace mica
