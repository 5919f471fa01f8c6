// How far the predictions of changed models are from those of the unchanged one: mean KL divergence
// after the head, from the residual streams that calibration passes end with.
//
// The head is read from the source in pieces, so that neither it nor logits are held whole. The
// result does not depend on threads. Source, config and engine outlive it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lib/runtime/calibration_pass.h"

namespace mica {

class PredictionDivergence {
 public:
  // Scores every `every`-th position of the second halves of windows. Throws Error(kInvalidFile)
  // for a source without a head or output norm.
  PredictionDivergence(const Importer& importer, const ModelConfig& config, int64_t every);

  // Keeps the pass's scored rows, normalized: of the unchanged model first. All have the same
  // windows.
  void add_model(const CalibrationPass& pass);

  // Mean KL of each further model from the first. `between` is called without the engine's lock.
  std::vector<double> run(const Engine& engine, const std::function<void()>& between);
  int64_t scored() const { return models_ == 0 ? 0 : std::ssize(rows_) / size_ / models_; }

 private:
  // Of one row's logits so far: exponentials relative to the greatest; of further models also the
  // sum of exp(base) * (base - other), relative to the base's greatest.
  struct Sum {
    double greatest = -1e300, exponentials = 0, cross = 0;
  };

  void read(size_t index, std::vector<float>& out) const;
  float finish(float logit) const;
  void add_logits(const std::vector<float>& head, int64_t count, Range positions);
  static double add_row(std::span<const float> row, Sum& sum);

  const Importer& importer_;
  const ModelConfig& config_;
  const int64_t every_, size_;
  size_t head_ = 0;
  std::vector<float> norm_weight_, norm_bias_;
  Norm norm_;
  std::vector<float> rows_;  // [models, scored, D]
  int64_t models_ = 0;
  std::vector<Sum> sums_;  // [models, scored]
};

}  // namespace mica
