// Conversion: any importer's source into a .mica file, one tensor at a time.
//
// Deterministic for any number of threads; atomic (formats/writer.h). Every substitution of a
// weight type and every ignored setting is in the report.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/base/log.h"
#include "lib/runtime/calibration_options.h"
#include "lib/runtime/engine.h"

namespace mica {

struct ConvertOptions {
  // "keep": quantized sources and .mica files carried over, float sources as q4g32 with embedding
  // and head q8g32.
  // Otherwise the name of a type for the body: "q4g64", "q8g32", "f16", "f32", ...
  std::string quant = "keep";
  // Embedding and head; empty: as the defaults have it (q8g32 for panel types).
  std::string embedding_quant;
  // Lines "PATTERN TYPE": the type of tensors whose name is like the pattern (fnmatch), the last
  // such line's; '#' begins a comment. Others get what the options above say.
  std::string recipe;
  std::string recipe_name;  // for sentences
  // Bits a weight of the layers' matrices; types and groups are chosen by measured sensitivity
  // among q4 and q8. 0: all as `quant` says.
  double target_bits = 0;
  // The layers' matrices are quantized with what their inputs are like over a text.
  std::optional<CalibrationOptions> calibration;
  bool dry_run = false;  // plan and report only; nothing is written
};

struct ConvertedTensor {
  std::string name;
  std::string source_type;
  std::string dtype;  // "q4mg32"
  int group = 0;
  bool in_layer = false;
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t bytes = 0;
  double relative_error =
      0;  // ||w - w'|| / ||w|| against the source as floats; 0 when carried over; what a .mica file
          // says of bytes copied from it, NaN when that is nothing
  // Calibrated: sqrt(tr(E H E^T) / tr(W H W^T)), the error of the product, when rounded to nearest
  // and as written.
  std::optional<double> nearest_error, output_error;
};

struct ConvertReport {
  std::string output;
  uint64_t bytes = 0;                // of the file
  double body_bits_per_weight = 0;   // linears of the layers
  double whole_bits_per_weight = 0;  // all bytes of the file over all weights
  std::vector<std::string> substitutions;
  std::vector<std::string> notes;
  std::vector<ConvertedTensor> tensors;
  int64_t calibration_tokens = 0;
  std::optional<HeldOutDivergence> held_out;  // calibrated, with text enough
  double seconds = 0;
};

// Bits a weight from the tensors and the bytes: of the layers' matrices, and of the whole file.
void summarise(ConvertReport& report);
// Throws Error(kDoesNotFit) when the file system of `output` has fewer bytes left.
void check_free_space(const std::string& output, uint64_t bytes);

// Throws Error; Error(kInterrupted) when `progress` (bytes written and bytes of the source hashed,
// lib/runtime/convert_progress.h) returns false. Holds the engine's lock a chunk at a time, and not
// while `progress` is called.
ConvertReport convert_model(const std::string& source, const std::string& output,
                            const ConvertOptions& options, const Engine& engine,
                            const Progress& progress);

}  // namespace mica
