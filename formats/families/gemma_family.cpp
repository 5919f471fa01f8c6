// Gemma (arXiv:2403.08295): Llama with scaled embeddings and norms that count from one.
#include "formats/families/gemma_scales.h"

namespace mica {

extern const Family kFamily_gemma = {
    .config = {.architecture = "gemma",
               .activation = "gelu_tanh",
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional},
    .hf_classes = {"GemmaForCausalLM"},
    .hf_defaults = R"({"head_dim": 256, "num_key_value_heads": 16, "tie_word_embeddings": true})",
    .hf_norm_offset = 1,
    .read_hf =
        [](const HfSettings&, SourceConfig& config) {
          config.embedding_scale = gemma_embedding_scale(config);
          // The first files said "gelu" and meant this, as transformers takes it.
          if (config.activation == "gelu") config.activation = "gelu_tanh";
        },
    .gguf_architecture = "gemma",
    .read_gguf =
        [](const GgufKeys&, SourceConfig& config) {
          config.embedding_scale = gemma_embedding_scale(config);
        },
};

}  // namespace mica
