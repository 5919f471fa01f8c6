// SmolLM3: Llama with layers that have no rotary embedding, each fourth if nothing else is said.
#include "formats/family.h"

namespace mica {
namespace {

void read_hf(const HfSettings& settings, SourceConfig& config) {
  const int64_t period = settings.required("no_rope_layer_interval");
  config.rope_layers = all_but_each(period, config.layers);
  if (settings.is_set("no_rope_layers")) {  // 1: with a rotary embedding
    constexpr const char* kKey = "no_rope_layers";
    config.rope_layers.clear();
    for (const Json& has_rope : settings.get(kKey).as_array(settings.what(kKey))) {
      config.rope_layers.push_back(has_rope.as_integer(settings.what(kKey)) != 0);
    }
  }
  std::vector<bool> windowed = settings.windowed_layers();
  const int64_t window = settings.integer("sliding_window", 0);
  if (!settings.boolean("use_sliding_window")) return;
  if (windowed.empty()) {
    windowed = config.rope_layers;
    windowed.flip();
  }
  set_window(config, window, std::move(windowed));
}

void write_hf(const Json& model, Json& config) {
  write_window_by_depth(model, config);
  Json with_rope = Json::array();
  const int64_t layers = model["layers"].as_integer();
  for (int64_t i = 0; i < layers; ++i) {
    const Json& listed = model["rope_layers"];
    with_rope.push_back(listed.is_null() || listed.as_array()[i].as_bool() ? 1 : 0);
  }
  config["no_rope_layers"] = std::move(with_rope);
}

}  // namespace

extern const Family kFamily_smollm3 = {
    .config = {.architecture = "smollm3",
               .qkv_bias = Biases::kOptional,
               .attention_out_bias = Biases::kOptional,
               .feed_forward_bias = Biases::kOptional},
    .hf_classes = {"SmolLM3ForCausalLM"},
    .hf_defaults = R"({"tie_word_embeddings": true, "no_rope_layer_interval": 4,
        "num_key_value_heads": 4, "rope_theta": 2000000.0})",
    .read_hf = read_hf,
    .write_hf = write_hf,
    .gguf_architecture = "smollm3",
    .gguf_interleaves = true,
    .read_gguf = [](const GgufKeys&,
                    SourceConfig& config) { config.rope_layers = all_but_each(4, config.layers); },
};

}  // namespace mica
