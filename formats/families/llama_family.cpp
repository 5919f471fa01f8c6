// Llama (arXiv:2302.13971) and what has its shape: Llama 2 and 3, SmolLM2, TinyLlama.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_llama = {
    .config = {.architecture = "llama",
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional,
               .feed_forward_bias = Biases::kOptional},
    .hf_classes = {"LlamaForCausalLM"},
    .gguf_architecture = "llama",
    .gguf_interleaves = true,
};

}  // namespace mica
