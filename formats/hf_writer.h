// A model as a folder in the Hugging Face layout: its config.json, the names and order of its
// tensors, and the frame of safetensors files. The inverse of huggingface.h.
//
// What is written is read back and compared, so that a setting that config.json cannot say is
// refused instead of lost.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/importer.h"

namespace mica {

// Rows of a source tensor that lie together in a tensor of the folder.
struct RowPart {
  size_t source;  // index into ImportedModel::tensors
  int64_t first;
  int64_t rows;
};

struct HfTensor {
  std::string name;  // "model.layers.3.self_attn.q_proj.weight"
  std::string type;  // "F32", "F16", "BF16"
  std::vector<int64_t> dims = {};
  std::vector<RowPart> parts = {};  // row behind row
  float offset = 0;                 // subtracted from each weight

  uint64_t bytes() const;
};

// Floats keep their type; what is quantized becomes bf16. Throws Error(kUnsupported) for an
// architecture that Hugging Face folders do not have.
std::vector<HfTensor> hf_tensors(const ImportedModel& model);

// Throws Error(kUnsupported) naming the setting that cannot be written.
Json hf_config_json(const ImportedModel& model, const std::vector<HfTensor>& tensors);
Json hf_generation_json(const ImportedModel& model);
// `tokenizer`: the tokenizer.json beside it.
Json hf_tokenizer_config_json(const ImportedModel& model, const Json& tokenizer);

// What stands before the tensors' bytes in a safetensors file, which follow in this order without
// gaps.
std::string safetensors_header(const std::vector<const HfTensor*>& tensors);

}  // namespace mica
