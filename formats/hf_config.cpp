#include "formats/hf_config.h"

#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {
namespace {

struct KnownArchitecture {
  std::string_view class_name;
  const char* name;
  // transformers' default of "sliding_window"; 0: the class has none.
  int64_t default_window;
};
constexpr KnownArchitecture kArchitectures[] = {
    {"LlamaForCausalLM", "llama", 0},
    {"MistralForCausalLM", "llama", 4096},
    {"Qwen2ForCausalLM", "qwen2", 0},
};

class ConfigReader {
 public:
  ConfigReader(const Json& json, const std::string& file) : json_(json), file_(file) {}

  SourceConfig read(std::vector<std::string>& notes) {
    json_.as_object(file_);
    const KnownArchitecture& known = read_architecture();
    refuse_what_changes_weights();
    SourceConfig config;
    config.architecture = known.name;
    config.layers = required("num_hidden_layers");
    config.hidden_size = required("hidden_size");
    config.feed_forward_size = required("intermediate_size");
    config.heads = required("num_attention_heads");
    config.kv_heads = optional("num_key_value_heads", config.heads);
    config.head_size = read_head_size(config);
    config.vocabulary_size = required("vocab_size");
    config.context_length = required("max_position_embeddings");
    config.norm_epsilon = number(json_, "rms_norm_eps", 1e-6);
    config.tied_embeddings = boolean("tie_word_embeddings");
    read_biases(known, config);
    read_rope(config);
    refuse_windows(known, config);
    if (json_.find("auto_map"))
      notes.push_back("config.json: auto_map: the model's own code is not run");
    return config;
  }

 private:
  std::string what(std::string_view key) const { return fmt::format("{}: {}", file_, key); }

  [[noreturn]] void refuse(std::string_view key, const std::string& expected,
                           const Json& found) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: {} is not supported; expected {}",
                                                     what(key), shorten(found), expected));
  }

  static std::string shorten(const Json& value) {
    return value.is_object() || value.is_array() ? fmt::format("this {}", value.type_name())
                                                 : value.dump();
  }

  bool is_set(std::string_view key) const { return !json_[key].is_null(); }
  int64_t required(std::string_view key) const { return json_[key].as_integer(what(key)); }
  int64_t optional(std::string_view key, int64_t otherwise) const {
    return is_set(key) ? required(key) : otherwise;
  }
  bool boolean(std::string_view key) const { return is_set(key) && json_[key].as_bool(what(key)); }
  double number(const Json& object, std::string_view key, double otherwise) const {
    return object[key].is_null() ? otherwise : object[key].as_number(what(key));
  }

  const KnownArchitecture& read_architecture() const {
    const Json::Array& names = json_["architectures"].as_array(what("architectures"));
    std::string expected;
    for (const KnownArchitecture& known : kArchitectures) {
      if (names.size() == 1 && names[0] == Json(known.class_name)) return known;
      expected += fmt::format("{}{}", expected.empty() ? "" : ", ", known.class_name);
    }
    const Json& found = names.size() == 1 ? names[0] : json_["architectures"];
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: {} is not supported; expected one of {}", what("architectures"),
                            found.dump(), expected));
  }

  void refuse_what_changes_weights() const {
    for (const char* key : {"quantization_config", "compression_config"}) {
      if (!is_set(key)) continue;
      const Json& method = json_[key]["quant_method"];
      refuse(key, "none: convert the unquantized model, or a GGUF file",
             method.is_null() ? json_[key] : method);
    }
    if (is_set("hidden_act") && json_["hidden_act"] != Json("silu") &&
        json_["hidden_act"] != Json("swish")) {
      refuse("hidden_act", "\"silu\"", json_["hidden_act"]);
    }
    for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
      if (optional(key, 0) != 0) refuse(key, "none", json_[key]);
    }
    for (const char* key : {"attn_logit_softcapping", "final_logit_softcapping", "logit_scale"}) {
      if (is_set(key)) refuse(key, "none", json_[key]);
    }
  }

  int64_t read_head_size(const SourceConfig& config) const {
    if (is_set("head_dim")) return required("head_dim");
    if (config.heads <= 0 || config.hidden_size % config.heads != 0) {
      throw Error(ErrorCode::kInvalidFile,
                  fmt::format("{}: expected a divisor of hidden_size, which is {}, found {}",
                              what("num_attention_heads"), config.hidden_size, config.heads));
    }
    return config.hidden_size / config.heads;
  }

  void read_biases(const KnownArchitecture& known, SourceConfig& config) const {
    const bool attention = boolean("attention_bias");
    const bool feed_forward = boolean("mlp_bias");
    if (known.class_name == "LlamaForCausalLM") {
      config.qkv_bias = config.attention_out_bias = attention ? Biases::kAlways : Biases::kNever;
      config.feed_forward_bias = feed_forward ? Biases::kAlways : Biases::kNever;
      return;
    }
    if (known.name == std::string_view("llama") && attention)
      refuse("attention_bias", "false", true);
    if (feed_forward) refuse("mlp_bias", "false", true);
    config.qkv_bias = known.name == std::string_view("qwen2") ? Biases::kAlways : Biases::kNever;
    config.attention_out_bias = config.feed_forward_bias = Biases::kNever;
  }

  // Old: "rope_theta" and "rope_scaling"; new: all of it in "rope_parameters". As in transformers
  // 5, rope_scaling wins where both are set, and rope_theta counts where the object has none.
  void read_rope(SourceConfig& config) const {
    const char* key = is_set("rope_scaling") ? "rope_scaling" : "rope_parameters";
    const Json& rope = json_[key];
    if (!rope.is_null()) rope.as_object(what(key));
    for (const auto& [name, value] : rope.is_null() ? Json::Object() : rope.as_object()) {
      if (value.is_object())
        refuse(fmt::format("{}.{}", key, name), "one setting for all layers", value);
    }
    config.rope_base = number(rope, "rope_theta", number(json_, "rope_theta", 10000.0));
    config.rope_size = config.head_size;
    for (const Json* object : {&json_, &rope}) {
      if (number(*object, "partial_rotary_factor", 1) != 1) {
        refuse("partial_rotary_factor", "1", (*object)["partial_rotary_factor"]);
      }
    }
    const Json& type = rope["rope_type"].is_null() ? rope["type"] : rope["rope_type"];
    if (type.is_null() || type == Json("default")) return;
    const auto needed = [&](const char* name) {
      return rope[name].as_number(fmt::format("{}.{}", what(key), name));
    };
    if (type == Json("linear")) {
      config.rope_scaling = "linear";
      config.rope_factor = needed("factor");
    } else if (type == Json("llama3")) {
      config.rope_scaling = "llama3";
      config.rope_factor = needed("factor");
      config.rope_low_frequency_factor = needed("low_freq_factor");
      config.rope_high_frequency_factor = needed("high_freq_factor");
      config.rope_original_context_length = rope["original_max_position_embeddings"].as_integer(
          what("original_max_position_embeddings"));
    } else {
      refuse(fmt::format("{}.rope_type", key), "\"default\", \"linear\" or \"llama3\"", type);
    }
  }

  void refuse_windows(const KnownArchitecture& known, const SourceConfig& config) const {
    if (boolean("use_sliding_window")) refuse("use_sliding_window", "false", true);
    if (is_set("layer_types")) {
      for (const Json& type : json_["layer_types"].as_array(what("layer_types"))) {
        if (type != Json("full_attention")) refuse("layer_types", "\"full_attention\"", type);
      }
    }
    if (known.default_window == 0) return;
    const bool absent = json_.find("sliding_window") == nullptr;
    const int64_t window =
        absent ? known.default_window : optional("sliding_window", config.context_length);
    if (window < config.context_length) {
      refuse("sliding_window",
             fmt::format("null, or no less than max_position_embeddings, which is {}",
                         config.context_length),
             window);
    }
  }

  const Json& json_;
  const std::string& file_;
};

}  // namespace

SourceConfig read_hf_config(const Json& config, const std::string& what,
                            std::vector<std::string>& notes) {
  return ConfigReader(config, what).read(notes);
}

}  // namespace mica
