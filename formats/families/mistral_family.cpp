// Mistral (arXiv:2310.06825): Llama with a window. GGUF files of it are Llama's.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_mistral = {
    .config = {.architecture = "mistral"},
    .hf_classes = {"MistralForCausalLM"},
    .hf_defaults = R"({"sliding_window": 4096, "num_key_value_heads": 8})",
    .read_hf =
        [](const HfSettings& settings, SourceConfig& config) {
          set_window(config, settings.integer("sliding_window", 0));
        },
    .write_hf = write_window,
};

}  // namespace mica
