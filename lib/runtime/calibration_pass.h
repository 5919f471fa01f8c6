// The residual stream of all calibration windows, which goes through a model one layer at a time.
//
// Holds the stream [tokens, D] and, while a layer runs, the scratch memory of a step of some
// windows. Holds the engine's lock while it runs. Engine and config outlive it. A copy goes its own
// way from there on.
#pragma once

#include <functional>
#include <vector>

#include "formats/importer.h"
#include "lib/model/weights.h"
#include "lib/runtime/calibration_text.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/tap_backend.h"

namespace mica {

// Which input of a layer is shown, and to whom.
struct InputTap {
  Weight LayerWeights::*weight = nullptr;  // q, attn_out, up or down
  // `beside`: [T, K], that of the same tokens in the other model; empty without one.
  std::function<void(const ShownInput& input, View<const float> beside)> show;
};

class CalibrationPass {
 public:
  // Begins with the embeddings of the windows' tokens, from the source.
  CalibrationPass(const Importer& importer, const ModelConfig& config, const Engine& engine,
                  const CalibrationWindows& windows);

  // Another model's stream of the same windows, and its layer.
  struct Other {
    const CalibrationPass* pass = nullptr;
    const LayerWeights* weights = nullptr;
  };

  // Takes the stream through layer `index` with `weights`. `between` is called between steps,
  // without the engine's lock.
  void advance(int index, const LayerWeights& weights, const std::function<void()>& between);
  // Runs the layer up to where its input is known, shown with the engine's lock held and its pool
  // free; the streams stay as they were.
  void observe(int index, const LayerWeights& weights, const Other& other, const InputTap& tap,
               const std::function<void()>& between) const;

  View<const float> stream() const {
    return {stream_.data(), tokens_, std::ssize(stream_) / tokens_};
  }
  int64_t context() const { return context_; }
  // How often advance() and observe() call `between`.
  int64_t steps() const;

 private:
  // Windows of a step.
  int64_t together() const;
  // [at most `most`, D] of the stream.
  View<const float> rows_from(int64_t first, int64_t most) const;

  const ModelConfig& config_;
  const Engine& engine_;
  int64_t context_;
  int64_t tokens_;
  std::vector<float> stream_;  // [tokens, D]
};

}  // namespace mica
