// What the keys of a GGUF file say about the model.
#pragma once

#include "formats/family.h"
#include "formats/gguf_file.h"

namespace mica {

// Divisors of rotary frequencies that a GGUF file keeps as tensors; nullptr where it has none.
struct GgufRopeTensors {
  const GgufTensor* factors = nullptr;  // "rope_freqs.weight"
  const GgufTensor* short_factors = nullptr;
  const GgufTensor* long_factors = nullptr;
};

struct GgufConfig {
  const Family* family;
  SourceConfig config;
};

// Reads {arch}.* of the families that are known here, and refuses settings that would change the
// model's answers and cannot be honoured; adds to `notes` what is set but not used. vocabulary_size
// and tied_embeddings are left to the caller, who sees the tensors.
GgufConfig read_gguf_config(const GgufFile& file, const GgufRopeTensors& rope,
                            std::vector<std::string>& notes);

// The "generation" object, from general.sampling.*.
Json read_gguf_generation(const GgufFile& file);

}  // namespace mica
