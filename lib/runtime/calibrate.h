// Calibrated conversion: the matrices of a source's layers, quantized one layer after the other
// with the inputs that the already quantized layers before give them.
//
// Finished layers are kept in a side file, so that an interrupted conversion can go on where it
// stopped and give the same bytes. Holds one layer of the source as floats.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/runtime/calibrate_layer.h"
#include "lib/runtime/calibration_options.h"
#include "lib/runtime/calibration_store.h"
#include "lib/runtime/convert_plan.h"

namespace mica {

// All that is referred to outlives the calibration.
struct CalibrationJob {
  const Importer& importer;
  const ModelConfig& config;
  const Engine& engine;
  const ConvertPlan& plan;
  const CalibrationOptions& options;
  const CalibrationText& text;
  std::string output;
  Hash128 source_hash;  // tells whether a side file belongs to this conversion
};

// The windows that the options speak of.
CalibrationText make_calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                      const CalibrationOptions& options);

class Calibration {
 public:
  // `report` is told the share of the layers that is done, many times a layer, and may throw.
  // Throws Error(kUsage) for a side file that is not to be resumed or replaced.
  Calibration(CalibrationJob job, std::function<void(double share)> report);

  // Layers come in ascending order. Null for a tensor that is converted without calibration.
  const CalibratedTensor* find(Role role, int layer);
  // Of the layers' predictions as written from those of the source, over the windows that were held
  // out; embedding and head as in the source. Once all layers were found; nothing for a text that
  // leaves none.
  std::optional<HeldOutDivergence> held_out_divergence();
  // Removes the side file.
  void finish() { store_.remove(); }

 private:
  void next_layer();
  LayerTask task_of(int layer) const;
  void report_step();

  const CalibrationJob job_;
  const std::function<void(double)> report_;
  CalibrationStore store_;
  CalibrationPass pass_;
  std::optional<CalibrationPass> unquantized_;  // the source's stream, where targets need it
  std::optional<CalibrationPass> held_out_, held_out_source_;  // as written, as in the source
  int layer_ = -1;
  int64_t steps_ = 0, expected_steps_ = 0;  // of layer_: done, and about how many there are
  std::vector<CalibratedTensor> tensors_;   // of layer_
};

}  // namespace mica
