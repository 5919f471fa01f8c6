// Gemma 2 (arXiv:2408.00118): norms before and behind each block, softcaps, scaled embeddings, a
// window in every other layer.
#include "formats/families/gemma_scales.h"

namespace mica {
namespace {

void read_hf(const HfSettings& settings, SourceConfig& config) {
  read_gemma_scales(settings, config);
  std::vector<bool> windowed = settings.windowed_layers();
  if (windowed.empty()) windowed = all_but_each(2, config.layers);
  set_window(config, settings.integer("sliding_window", 0), std::move(windowed));
}

void write_hf(const Json& model, Json& config) {
  write_gemma_scales(model, config);
  write_window_by_layer(model, config);
}

void read_gguf(const GgufKeys& keys, SourceConfig& config) {
  read_gemma_scales(keys, 46, config);
  // 0 turns them off.
  config.attention_softcap = keys.number("attn_logit_softcapping").value_or(50.0);
  config.logits_softcap = keys.number("final_logit_softcapping").value_or(30.0);
  set_window(config, keys.optional("attention.sliding_window", 4096),
             keys.windowed_layers(config.layers, 2));
}

}  // namespace

extern const Family kFamily_gemma2 = {
    .config = {.architecture = "gemma2",
               .activation = "gelu_tanh",
               .norms_after = true,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional},
    .hf_classes = {"Gemma2ForCausalLM"},
    .hf_defaults =
        R"({"head_dim": 256, "num_key_value_heads": 4, "tie_word_embeddings": true, "sliding_window": 4096,
        "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0})",
    .hf_names = {{"post_attention_layernorm.weight", {Role::kAttnPostNorm}},
                 {"pre_feedforward_layernorm.weight", {Role::kFfnNorm}}},
    .hf_norm_offset = 1,
    .read_hf = read_hf,
    .write_hf = write_hf,
    .gguf_architecture = "gemma2",
    .read_gguf = read_gguf,
};

}  // namespace mica
