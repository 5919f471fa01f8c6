// GPT-NeoX and Pythia (arXiv:2204.06745): norms with mean and bias, biases everywhere, a plain
// feed-forward beside the attention, a part of each head rotated.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_gpt_neox = {
    .config = {.architecture = "gpt_neox",
               .activation = "gelu",
               .norm_biases = true,
               .gated = false,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional,
               .feed_forward_bias = Biases::kAlways},
    .hf_classes = {"GPTNeoXForCausalLM"},
    .hf_defaults = R"({"rotary_pct": 0.25, "attention_bias": true, "use_parallel_residual": true,
        "layer_norm_eps": 1e-5})",
    .hf_epsilon = "layer_norm_eps",
    .hf_prefixes = {"gpt_neox."},
    .hf_names = {{"embed_in.weight", {Role::kTokenEmbedding}},
                 {"attention.query_key_value.weight",
                  {Role::kAttnQ, Role::kAttnK, Role::kAttnV},
                  true},
                 {"attention.query_key_value.bias",
                  {Role::kAttnQBias, Role::kAttnKBias, Role::kAttnVBias},
                  true},
                 {"attention.dense.weight", {Role::kAttnOut}},
                 {"attention.dense.bias", {Role::kAttnOutBias}},
                 {"mlp.dense_h_to_4h.weight", {Role::kFfnUp}},
                 {"mlp.dense_h_to_4h.bias", {Role::kFfnUpBias}},
                 {"mlp.dense_4h_to_h.weight", {Role::kFfnDown}},
                 {"mlp.dense_4h_to_h.bias", {Role::kFfnDownBias}},
                 {"final_layer_norm.weight", {Role::kOutputNorm}},
                 {"final_layer_norm.bias", {Role::kOutputNormBias}},
                 {"embed_out.weight", {Role::kHead}}},
    .read_hf =
        [](const HfSettings& settings, SourceConfig& config) {
          config.parallel_residual = settings.boolean("use_parallel_residual");
        },
    .write_hf =
        [](const Json& model, Json& config) {
          config["use_parallel_residual"] = !model["parallel_residual"].is_null();
          config["rotary_emb_base"] = model["rope"]["base"];
          config["rotary_pct"] = number_or(config, "partial_rotary_factor", 1);
        },
    .gguf_architecture = "gptneox",
    .read_gguf =
        [](const GgufKeys& keys, SourceConfig& config) {
          config.parallel_residual = keys.boolean("use_parallel_residual").value_or(true);
        },
};

}  // namespace mica
