#include "formats/hf_config.h"

#include <fmt/format.h>
#include <iterator>

#include "lib/base/error.h"

namespace mica {
namespace {

struct NamedActivation {
  std::string_view hf_name;
  const char* name;  // FORMAT.md, "Metadata"
};
constexpr NamedActivation kActivations[] = {
    {"silu", "silu"},          {"swish", "silu"},          {"gelu", "gelu"},
    {"gelu_new", "gelu_tanh"}, {"gelu_fast", "gelu_tanh"}, {"gelu_pytorch_tanh", "gelu_tanh"}};

const Family& find_family(const HfSettings& settings) {
  const Json& json = settings.get("architectures");
  const Json::Array& names = json.as_array(settings.what("architectures"));
  std::string expected;
  for (const Family* family : families()) {
    for (const std::string_view name : family->hf_classes) {
      if (names.size() == 1 && names[0] == Json(name)) return *family;
      expected += fmt::format("{}{}", expected.empty() ? "" : ", ", name);
    }
  }
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("{}: {} is not supported; expected one of {}", settings.what("architectures"),
                  (names.size() == 1 ? names[0] : json).dump(), expected));
}

// A checkpoint whose weights are not plain numbers, by the name of what made it.
void refuse_quantized(const HfSettings& settings) {
  for (const char* key : {"quantization_config", "compression_config", "quantization"}) {
    if (!settings.is_set(key)) continue;
    const Json& config = settings.get(key);
    Json method = config["quant_method"];
    // Old files of bitsandbytes do not name it.
    const bool has_bits = config.find("load_in_8bit") || config.find("load_in_4bit");
    if (method.is_null() && has_bits) method = "bitsandbytes";
    if (method.is_null() && std::string_view(key) == "quantization") method = "MLX";
    settings.refuse(key, "none: convert the unquantized model, or a GGUF file",
                    method.is_null() ? config : method);
  }
}

void refuse_experts(const HfSettings& settings) {
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    if (settings.integer(key, 0) != 0) settings.refuse(key, "none", settings.get(key));
  }
}

std::string read_activation(const HfSettings& settings, const std::string& otherwise) {
  const char* key = settings.is_set("hidden_activation") ? "hidden_activation" : "hidden_act";
  const Json& found = settings.get(key);
  if (found.is_null()) return otherwise;
  std::string expected;
  for (const NamedActivation& known : kActivations) {
    if (found == Json(known.hf_name)) return known.name;
    expected += fmt::format("{}\"{}\"", expected.empty() ? "one of " : ", ", known.hf_name);
  }
  settings.refuse(key, expected, found);
}

int64_t read_head_size(const HfSettings& settings, const SourceConfig& config) {
  if (settings.is_set("head_dim")) return settings.required("head_dim");
  if (config.heads <= 0 || config.hidden_size % config.heads != 0) {
    throw Error(
        ErrorCode::kInvalidFile,
        fmt::format("{}: expected a divisor of hidden_size, which is {}, found {}",
                    settings.what("num_attention_heads"), config.hidden_size, config.heads));
  }
  return config.hidden_size / config.heads;
}

// What the settings leave open where a family's models may have biases.
void read_biases(const HfSettings& settings, SourceConfig& config) {
  const auto read = [&](const char* key, Biases& biases) {
    if (biases != Biases::kOptional) return;
    biases = settings.boolean(key) ? Biases::kAlways : Biases::kNever;
  };
  read("attention_bias", config.qkv_bias);
  read("attention_bias", config.attention_out_bias);
  read("mlp_bias", config.feed_forward_bias);
}

void read_sizes(const HfSettings& settings, const Family& family, SourceConfig& config) {
  config.layers = settings.required("num_hidden_layers");
  check_layer_count(config.layers, settings.what("num_hidden_layers"));
  config.hidden_size = settings.required("hidden_size");
  config.feed_forward_size = settings.required("intermediate_size");
  config.heads = settings.required("num_attention_heads");
  config.kv_heads = settings.integer("num_key_value_heads", config.heads);
  config.head_size = read_head_size(settings, config);
  config.vocabulary_size = settings.required("vocab_size");
  config.context_length = settings.required("max_position_embeddings");
  config.norm_epsilon = settings.number(family.hf_epsilon, 1e-6);
  config.tied_embeddings = settings.boolean("tie_word_embeddings");
}

}  // namespace

HfConfig read_hf_config(const Json& json, const std::string& what,
                        std::vector<std::string>& notes) {
  const HfSettings whole(json, "{}", what);
  const Family& family = find_family(whole);
  refuse_quantized(whole);
  // A model that sees keeps the settings of its text part by themselves.
  const Json& text = whole.get("text_config");
  const std::string text_what = text.is_null() ? what : what + ": text_config";
  const HfSettings settings(text.is_null() ? json : text, family.hf_defaults, text_what);
  refuse_quantized(settings);
  refuse_experts(settings);
  SourceConfig config = family.config;
  read_sizes(settings, family, config);
  if (whole.is_set("tie_word_embeddings")) {
    config.tied_embeddings = whole.boolean("tie_word_embeddings");
  }
  config.activation = read_activation(settings, config.activation);
  read_biases(settings, config);
  read_hf_rope(settings, config);
  family.read_hf(settings, config);
  settings.refuse_others(notes);
  if (json.find("auto_map")) {
    notes.push_back("config.json: auto_map: the model's own code is not run");
  }
  return {&family, std::move(config)};
}

}  // namespace mica
