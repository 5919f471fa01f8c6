// StarCoder2 (arXiv:2402.19173): norms with mean and bias, biases everywhere, a plain feed-forward,
// a window.
#include "formats/family.h"

namespace mica {
namespace {

void read_hf(const HfSettings& settings, SourceConfig& config) {
  const Biases biases = settings.boolean("use_bias") ? Biases::kAlways : Biases::kNever;
  config.qkv_bias = config.attention_out_bias = config.feed_forward_bias = biases;
  set_window(config, settings.integer("sliding_window", 0));
}

void write_hf(const Json& model, Json& config) {
  const bool has_biases = config["attention_bias"].as_bool();
  config["use_bias"] = has_biases;
  write_window(model, config);
}

}  // namespace

extern const Family kFamily_starcoder2 = {
    .config = {.architecture = "starcoder2",
               .activation = "gelu_tanh",
               .norm_biases = true,
               .gated = false,
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional,
               .feed_forward_bias = Biases::kOptional},
    .hf_classes = {"Starcoder2ForCausalLM"},
    .hf_defaults = R"({"use_bias": true, "tie_word_embeddings": true, "norm_epsilon": 1e-5,
        "num_key_value_heads": 2})",
    .hf_epsilon = "norm_epsilon",
    .hf_names = {{"mlp.c_fc.weight", {Role::kFfnUp}},
                 {"mlp.c_fc.bias", {Role::kFfnUpBias}},
                 {"mlp.c_proj.weight", {Role::kFfnDown}},
                 {"mlp.c_proj.bias", {Role::kFfnDownBias}}},
    .read_hf = read_hf,
    .write_hf = write_hf,
    .gguf_architecture = "starcoder2",
};

}  // namespace mica
