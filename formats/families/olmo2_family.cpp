// OLMo 2 (arXiv:2501.00656): norms behind each block instead of before it, and of query and key
// with all heads together.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_olmo2 = {
    .config = {.architecture = "olmo2",
               .norms_before = false,
               .norms_after = true,
               .query_key_norm = QueryKeyNorm::kAllHeads,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional},
    .hf_classes = {"Olmo2ForCausalLM"},
    .hf_defaults = R"({"rms_norm_eps": 1e-5})",
    .hf_names = {{"post_attention_layernorm.weight", {Role::kAttnPostNorm}}},
    .gguf_architecture = "olmo2",
    .read_gguf =
        [](const GgufKeys& keys, SourceConfig&) {
          if (keys.optional("attention.sliding_window", 0) != 0) {
            keys.refuse("attention.sliding_window", "OLMo 3 is not supported: expected no window");
          }
        },
};

}  // namespace mica
