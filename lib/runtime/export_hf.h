// Any importer's source, a .mica file above all, as a folder in the Hugging Face layout that other
// programs load: config.json, safetensors (quantized weights as bf16, floats in their own type),
// tokenizer, generation defaults, chat template.
//
// The folder appears whole or not at all. Holds one chunk of a tensor.
#pragma once

#include <string>

#include "lib/runtime/convert.h"

namespace mica {

struct ExportOptions {
  uint64_t shard_bytes = 5'000'000'000;  // a weight file holds at most so many, or one tensor
  bool dry_run = false;
};

// Throws Error: kUsage when `folder` exists and is not an empty folder, kUnsupported for a model
// that the layout cannot hold, kInterrupted when `progress` (bytes written, then bytes of the
// source checked) returns false. The report's tensors are those of the folder.
ConvertReport export_to_hf(const std::string& source, const std::string& folder,
                           const ExportOptions& options, const Engine& engine,
                           const Progress& progress);

}  // namespace mica
