// A tiny random model, written as a .mica file: deterministic, large enough that every part of the
// computation shows in the logits.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "formats/writer.h"
#include "lib/base/json.h"

namespace mica::testing {

struct TinyModel {
  std::string architecture = "llama";
  std::string body = "q4g32";       // weight type of the linears
  std::string embedding = "q8g32";  // and of the head
  int layers = 2;
  int hidden_size = 64;
  int feed_forward_size = 96;
  int heads = 4;
  int kv_heads = 2;
  int head_size = 16;
  int vocabulary_size = 272;
  int context_length = 1024;
  bool tied = false;
  bool biases = false;  // those that the architecture may have
  uint64_t seed = 1;
  std::vector<std::byte> tokenizer_image;

  // Last changes before the file is written.
  std::function<void(std::vector<TensorSpec>&)> change_specs;
  std::function<void(Json& metadata)> change_metadata;
  std::function<void(const TensorSpec&, std::vector<float>&)> change_values;
};

// The metadata: "model", "special_tokens" (bos 256, eos 258), no chat template.
Json tiny_metadata(const TinyModel& model);

// Writes it to `path`, which is returned.
std::string write_tiny_model(const std::string& path, const TinyModel& model = {});

}  // namespace mica::testing
