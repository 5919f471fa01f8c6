// Gemma 3 (arXiv:2503.19786), its text part: Gemma 2 without softcaps, with norms of each head's
// query and key; of six layers five have a window and a rotary base of their own.
#include "formats/families/gemma_scales.h"

namespace mica {
namespace {

constexpr const char* kDefaults =
    R"({"vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 256, "max_position_embeddings": 131072, "tie_word_embeddings": true,
        "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "sliding_window_pattern": 6})";

void read_hf(const HfSettings& settings, SourceConfig& config) {
  read_gemma_scales(settings, config);
  if (settings.boolean("use_bidirectional_attention")) {
    settings.refuse("use_bidirectional_attention", "false", true);
  }
  settings.get("_sliding_window_pattern");  // what transformers 5 writes beside layer_types
  std::vector<bool> windowed = settings.windowed_layers();
  const int64_t period = settings.required("sliding_window_pattern");
  if (windowed.empty()) windowed = all_but_each(period, config.layers);
  set_window(config, settings.integer("sliding_window", 0), std::move(windowed));
}

void write_hf(const Json& model, Json& config) {
  write_gemma_scales(model, config);
  write_window_by_layer(model, config);
  const Json& rope = model[model["window_rope"].is_null() ? "rope" : "window_rope"];
  config["rope_local_base_freq"] = rope["base"];
}

void read_gguf(const GgufKeys& keys, SourceConfig& config) {
  read_gemma_scales(keys, 62, config);
  config.logits_softcap = keys.factor("final_logit_softcapping", 0);
  // The scaling is of the layers without a window.
  config.window_rope =
      SourceRope{.base = keys.factor("rope.freq_base_swa", 10000), .size = config.rope.size};
  set_window(config, keys.optional("attention.sliding_window", 0),
             keys.windowed_layers(config.layers, 6));
}

}  // namespace

extern const Family kFamily_gemma3_text = {
    .config = {.architecture = "gemma3_text",
               .activation = "gelu_tanh",
               .norms_after = true,
               .query_key_norm = QueryKeyNorm::kEachHead,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional},
    .hf_classes = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"},
    .hf_defaults = kDefaults,
    .hf_prefixes = {"language_model.model.", "model.language_model.", "language_model.", "model."},
    .hf_left_out = {"vision_tower.", "multi_modal_projector.", "model.vision_tower.",
                    "model.multi_modal_projector."},
    .hf_names = {{"post_attention_layernorm.weight", {Role::kAttnPostNorm}},
                 {"pre_feedforward_layernorm.weight", {Role::kFfnNorm}}},
    .hf_norm_offset = 1,
    .read_hf = read_hf,
    .write_hf = write_hf,
    .gguf_architecture = "gemma3",
    .read_gguf = read_gguf,
};

}  // namespace mica
