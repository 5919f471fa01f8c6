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
  ShowInput show;
};

class CalibrationPass {
 public:
  // Begins with the embeddings of the windows' tokens, from the source.
  CalibrationPass(const Importer& importer, const ModelConfig& config, const Engine& engine,
                  const CalibrationWindows& windows);

  // Runs layer `index` with `weights`. The tap, if any, is shown its input, with the engine's
  // lock held and its pool free; the stream stays as it was unless `advance`. `between` is called
  // between steps, without the lock.
  void run(int index, const LayerWeights& weights, const InputTap& tap, bool advance,
           const std::function<void()>& between);

  View<const float> stream() const {
    return {stream_.data(), tokens_, std::ssize(stream_) / tokens_};
  }
  int64_t context() const { return context_; }
  // How often run() calls `between`.
  int64_t steps() const;

 private:
  // Windows of a step.
  int64_t together() const;

  const ModelConfig& config_;
  const Engine& engine_;
  int64_t context_;
  int64_t tokens_;
  std::vector<float> stream_;  // [tokens, D]
};

}  // namespace mica
