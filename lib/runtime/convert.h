// Conversion: any importer's source into a .mica file, one tensor at a time.
//
// Deterministic for any number of threads; atomic (formats/writer.h). Every substitution of a
// weight type and every ignored setting is in the report.
#pragma once

#include <string>
#include <vector>

#include "lib/base/log.h"
#include "lib/runtime/engine.h"

namespace mica {

struct ConvertOptions {
  // "keep": quantized sources and .mica files carried over, float sources as q4g32 with embedding
  // and head q8g32.
  // Otherwise the name of a type for the body: "q4g64", "q8g32", "f16", "f32", ...
  std::string quant = "keep";
  // Embedding and head; empty: as the defaults have it (q8g32 for panel types).
  std::string embedding_quant;
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
};

struct ConvertReport {
  std::string output;
  uint64_t bytes = 0;                // of the file
  double body_bits_per_weight = 0;   // linears of the layers
  double whole_bits_per_weight = 0;  // all bytes of the file over all weights
  std::vector<std::string> substitutions;
  std::vector<std::string> notes;
  std::vector<ConvertedTensor> tensors;
  double seconds = 0;
};

// Bits a weight from the tensors and the bytes: of the layers' matrices, and of the whole file.
void summarise(ConvertReport& report);
// Throws Error(kDoesNotFit) when the file system of `output` has fewer bytes left.
void check_free_space(const std::string& output, uint64_t bytes);

// Throws Error; Error(kInterrupted) when `progress` (bytes written, then bytes of the source
// hashed) returns false. Holds the engine's lock a chunk at a time, and not while `progress` is
// called.
ConvertReport convert_model(const std::string& source, const std::string& output,
                            const ConvertOptions& options, const Engine& engine,
                            const Progress& progress);

}  // namespace mica
