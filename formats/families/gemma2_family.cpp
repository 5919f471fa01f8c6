// Gemma 2 (arXiv:2408.00118): norms before and behind each block, softcaps, scaled embeddings, a
// window in every other layer.
#include <cmath>

#include "formats/family.h"

namespace mica {
namespace {

void read_hf(const HfSettings& settings, SourceConfig& config) {
  config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  config.attention_scale = 1 / std::sqrt(settings.number("query_pre_attn_scalar", 0));
  config.attention_softcap = settings.number("attn_logit_softcapping", 0);
  config.logits_softcap = settings.number("final_logit_softcapping", 0);
  std::vector<bool> windowed = settings.windowed_layers();
  if (windowed.empty()) windowed = all_but_each(2, config.layers);
  set_window(config, settings.integer("sliding_window", 0), std::move(windowed));
}

void read_gguf(const GgufKeys& keys, SourceConfig& config) {
  config.embedding_scale = std::sqrt(static_cast<double>(config.hidden_size));
  // Its files do not say it: the model of 27 billion weights, which has 46 layers, counts another
  // head size.
  const int64_t scalar = config.layers == 46 ? config.hidden_size / config.heads : config.head_size;
  config.attention_scale = 1 / std::sqrt(static_cast<double>(scalar));
  config.attention_softcap = keys.factor("attn_logit_softcapping", 50);
  config.logits_softcap = keys.factor("final_logit_softcapping", 30);
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
    .hf_defaults = R"({"head_dim": 256, "tie_word_embeddings": true, "sliding_window": 4096,
        "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0})",
    .hf_names = {{"post_attention_layernorm.weight", {Role::kAttnPostNorm}},
                 {"pre_feedforward_layernorm.weight", {Role::kFfnNorm}}},
    .hf_norm_offset = 1,
    .read_hf = read_hf,
    .gguf_architecture = "gemma2",
    .read_gguf = read_gguf,
};

}  // namespace mica
