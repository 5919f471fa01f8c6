// Models of well-known shapes with random weights: for measuring speed without a download.
//
// The file lies in memory and never has a name; it is gone when the result is, or the process.
#pragma once

#include <string_view>
#include <vector>

#include "formats/writer.h"
#include "lib/base/log.h"

namespace mica {

// What such a file holds.
struct SyntheticShape {
  Json metadata;
  std::vector<TensorSpec> specs;
};
// Throws Error(kUsage) for names not known.
SyntheticShape synthetic_shape(std::string_view size, std::string_view quant);

// `size`: "1b", "3b", "7b", "8b", "13b", "70b" (Llama 3.2 1B and 3B, 2 7B, 3.1 8B, 2 13B, 3.1 70B).
// `quant`: the type of the layers' matrices; embedding and head are q8g32 where that is a quantized
// type, as conversions have it. Throws Error(kUsage) for names not known, Error(kDoesNotFit) when
// memory cannot hold the file, Error(kInterrupted) when `progress` (bytes) returns false.
MicaFile make_synthetic_model(std::string_view size, std::string_view quant,
                              const Progress& progress);

}  // namespace mica
