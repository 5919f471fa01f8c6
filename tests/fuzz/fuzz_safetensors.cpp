// Fuzzes the safetensors importer: the container, and weights that fit a configuration.
//
// corpus/safetensors holds files of tiny_safetensors (tests/formats/hf_samples.h), whose
// configuration this is.
#include <string>

#include "formats/huggingface.h"
#include "lib/base/error.h"
#include "tests/formats/import_exercise.h"

namespace {

constexpr const char* kConfig =
    R"({"architectures":["LlamaForCausalLM"],"num_hidden_layers":1,"hidden_size":4,)"
    R"("intermediate_size":4,"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":4,)"
    R"("max_position_embeddings":64})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  HfFolder folder;
  folder.path = folder.name = "fuzz";
  folder.texts["config.json"] = kConfig;
  folder.shards.emplace_back();
  folder.shards[0].name = "model.safetensors";
  folder.shards[0].bytes = {reinterpret_cast<const std::byte*>(data), size};
  try {
    testing::read_everything(*import_huggingface(std::move(folder)));
  } catch (const Error&) {
  }
  return 0;
}
