// Qwen3 (arXiv:2505.09388): Llama with norms of each head's query and key.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_qwen3 = {
    .config = {.architecture = "qwen3",
               .query_key_norm = QueryKeyNorm::kEachHead,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional},
    .hf_classes = {"Qwen3ForCausalLM"},
    .hf_defaults = R"({"head_dim": 128, "num_key_value_heads": 32, "sliding_window": 4096,
        "max_window_layers": 28})",
    .read_hf = read_window_by_depth,
    .write_hf = write_window_by_depth,
    .gguf_architecture = "qwen3",
};

}  // namespace mica
