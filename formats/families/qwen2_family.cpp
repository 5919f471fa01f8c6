// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases on query, key and value; the upper layers
// may have a window.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_qwen2 = {
    .config = {.architecture = "qwen2", .qkv_bias = Biases::kAlways},
    .hf_classes = {"Qwen2ForCausalLM"},
    .hf_defaults =
        R"({"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28})",
    .read_hf = read_window_by_depth,
    .write_hf = write_window_by_depth,
    .gguf_architecture = "qwen2",
};

}  // namespace mica
