// Calibrated conversion: the matrices of a source's layers, quantized one layer after the other
// with the inputs that the already quantized layers before give them.
//
// Finished layers are kept in a side file, so that an interrupted conversion can go on where it
// stopped and give the same bytes. Holds one layer of the source as floats.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/runtime/calibrate_layer.h"
#include "lib/runtime/calibration_options.h"
#include "lib/runtime/calibration_store.h"
#include "lib/runtime/convert_plan.h"

namespace mica {

class Calibration {
 public:
  // `source_hash` tells whether a side file beside `output` belongs to this conversion. `between`
  // is called from time to time and may throw. All outlive the calibration.
  Calibration(const Importer& importer, const ConvertPlan& plan, const ModelConfig& config,
              const Engine& engine, const CalibrationOptions& options, const std::string& output,
              const Hash128& source_hash, Bytes tokenizer_image, std::function<void()> between);

  // Layers come in ascending order. Null for a tensor that is converted without calibration.
  const CalibratedTensor* find(Role role, int layer);
  int64_t tokens() const { return tokens_; }
  // Of the layers' predictions as written from those of the source, over the windows that were held
  // out; embedding and head as in the source. Once all layers were found; nothing for a text that
  // leaves none.
  std::optional<HeldOutDivergence> held_out_divergence();
  // Removes the side file.
  void finish() { store_.remove(); }

 private:
  void next_layer();
  LayerTask task_of(int layer) const;

  const Importer& importer_;
  const ConvertPlan& plan_;
  const ModelConfig& config_;
  const Engine& engine_;
  const CalibrationOptions& options_;
  const std::function<void()> between_;
  CalibrationStore store_;
  std::optional<CalibrationPass> pass_;
  std::optional<CalibrationPass> held_out_, held_out_source_;  // as written, as in the source
  int64_t tokens_ = 0;
  int layer_ = -1;
  std::vector<CalibratedTensor> tensors_;  // of layer_
};

}  // namespace mica
