// What a planner must know of a model: sizes, without any weights.
//
// From a file's weights, or from the tensors that a file is to have (a dry conversion, a shape).
// Bytes are those of runs (lib/model/weights.h) before they are aligned. Mixtures of experts will
// add a list of experts to a layer, which are placed one by one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/writer.h"
#include "lib/model/config.h"
#include "lib/model/weights.h"

namespace mica {

struct PlanPiece {
  uint64_t bytes = 0;
  double weights = 0;  // numbers in its matrices
};

struct PlanModel {
  ModelConfig config;
  WeightTraits traits;
  PlanPiece embedding, output_norm;
  PlanPiece head;  // the embedding's when tied
  std::vector<PlanPiece> layers;
  std::string weight_type;  // of most of the layers' weights, "q4g32"
  double parameters = 0;

  // Of its weights, each once.
  uint64_t weight_bytes() const;
  // What courses teach a model needs: parameters x bytes of one x 1.2.
  uint64_t rule_of_thumb_bytes() const;
};

PlanModel plan_model_of(const ModelConfig& config, const ModelWeights& weights);
// Of a file with these tensors, in any order. Throws Error(kUsage) as MicaWriter does.
PlanModel plan_model_of(const ModelConfig& config, const std::vector<TensorSpec>& specs);

}  // namespace mica
