// The rotary embedding of a config.json.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

#include "formats/hf_config.h"

namespace mica {
namespace {

// All members that transformers knows in such an object; it ignores those of other types than the
// object's.
constexpr std::string_view kMembers[] = {"attention_factor",
                                         "beta_fast",
                                         "beta_slow",
                                         "factor",
                                         "finetuned",
                                         "high_freq_factor",
                                         "long_factor",
                                         "low_freq_factor",
                                         "mscale",
                                         "mscale_all_dim",
                                         "original_max_position_embeddings",
                                         "partial_rotary_factor",
                                         "rope_theta",
                                         "rope_type",
                                         "short_factor",
                                         "truncate",
                                         "type"};

// One object of rotary settings; null: nothing is scaled.
class RopeReader {
 public:
  RopeReader(const HfSettings& settings, const Json& json, std::string key, SourceConfig& config)
      : settings_(settings), json_(json), key_(std::move(key)), config_(config) {
    if (json_.is_null()) return;
    for (const auto& [name, value] : json_.as_object(settings_.what(key_))) {
      const bool known =
          std::find(std::begin(kMembers), std::end(kMembers), name) != std::end(kMembers);
      const bool neutral = value.is_null() || value == Json(1) || value == Json(1.0);
      if (!known && !neutral) settings_.refuse(member(name), "no such setting", value);
    }
  }

  SourceRope read(double default_base) {
    SourceRope rope;
    rope.base = number("rope_theta", default_base);
    const double part =
        number("partial_rotary_factor",
               settings_.number("partial_rotary_factor", settings_.number("rotary_pct", 1)));
    if (!(part > 0 && part <= 1)) {
      settings_.refuse("partial_rotary_factor", "a number above 0 and up to 1", part);
    }
    rope.size = static_cast<int64_t>(static_cast<double>(config_.head_size) * part);
    const Json& named = json_["rope_type"].is_null() ? json_["type"] : json_["rope_type"];
    const std::string type = named.is_null() ? "default" : named.as_string(what("rope_type"));
    if (type == "default") return rope;
    // Phi-3 has written "su" and "yarn" for what was called "longrope" later.
    const bool is_long =
        type == "longrope" || type == "su" || (type == "yarn" && !json_["short_factor"].is_null());
    if (is_long) {
      read_longrope(rope);
    } else if (type == "linear") {
      read_linear(rope);
    } else if (type == "dynamic") {
      read_dynamic(rope);
    } else if (type == "yarn") {
      read_yarn(rope);
    } else if (type == "llama3") {
      read_llama3(rope);
    } else {
      settings_.refuse(member("rope_type"),
                       "one of \"default\", \"linear\", \"dynamic\", \"yarn\", \"longrope\", "
                       "\"llama3\"",
                       named);
    }
    rope.scaling = is_long ? "longrope" : type;
    return rope;
  }

 private:
  std::string member(std::string_view name) const { return fmt::format("{}.{}", key_, name); }
  std::string what(std::string_view name) const { return settings_.what(member(name)); }
  double needed(std::string_view name) const { return json_[name].as_number(what(name)); }
  double number(std::string_view name, double otherwise) const {
    return json_[name].is_null() ? otherwise : needed(name);
  }
  std::vector<double> numbers(std::string_view name) const {
    std::vector<double> values;
    for (const Json& value : json_[name].as_array(what(name))) {
      values.push_back(value.as_number(what(name)));
    }
    return values;
  }

  // Outside of the object in Phi-3, where it counts first.
  int64_t original_context() const {
    constexpr const char* kKey = "original_max_position_embeddings";
    if (settings_.is_set(kKey)) return settings_.required(kKey);
    return json_[kKey].is_null() ? config_.context_length : json_[kKey].as_integer(what(kKey));
  }

  // How many times the original context the whole one is.
  double stretch(const SourceRope& rope) const {
    return static_cast<double>(config_.context_length) /
           static_cast<double>(std::max<int64_t>(1, rope.original_context_length));
  }

  // Some configurations count the context that the scaling reaches, some the original one.
  void grow_context(const SourceRope& rope) {
    const double reached = rope.factor * static_cast<double>(rope.original_context_length);
    if (reached < 1e9) {
      config_.context_length = std::max(config_.context_length, static_cast<int64_t>(reached));
    }
  }

  void read_longrope(SourceRope& rope) const {
    rope.factors = numbers("short_factor");
    rope.long_factors = numbers("long_factor");
    rope.original_context_length = original_context();
    const double factor = number("factor", stretch(rope));
    const double otherwise =
        factor <= 1
            ? 1
            : std::sqrt(1 + std::log(factor) /
                                std::log(static_cast<double>(rope.original_context_length)));
    rope.attention_factor = number("attention_factor", otherwise);
  }

  // The models of Vicuna count the context that the scaling reaches beside the original one.
  void read_linear(SourceRope& rope) {
    rope.factor = needed("factor");
    config_.context_length = std::max(
        config_.context_length, settings_.integer("max_sequence_length", config_.context_length));
  }

  void read_dynamic(SourceRope& rope) {
    rope.factor = needed("factor");
    rope.original_context_length = config_.context_length;
    grow_context(rope);
  }

  void read_yarn(SourceRope& rope) {
    rope.original_context_length = original_context();
    rope.factor = number("factor", stretch(rope));
    const auto magnitude = [&](double scale) {
      return rope.factor <= 1 ? 1 : 0.1 * scale * std::log(rope.factor) + 1;
    };
    const double scale = number("mscale", 0), all = number("mscale_all_dim", 0);
    const double otherwise =
        scale != 0 && all != 0 ? magnitude(scale) / magnitude(all) : magnitude(1);
    rope.attention_factor = number("attention_factor", otherwise);
    // 0 stands for the default as well.
    if (const double beta = number("beta_fast", 0); beta != 0) rope.beta_fast = beta;
    if (const double beta = number("beta_slow", 0); beta != 0) rope.beta_slow = beta;
    if (!json_["truncate"].is_null()) rope.truncate = json_["truncate"].as_bool(what("truncate"));
    grow_context(rope);
  }

  void read_llama3(SourceRope& rope) const {
    rope.factor = needed("factor");
    rope.low_frequency_factor = needed("low_freq_factor");
    rope.high_frequency_factor = needed("high_freq_factor");
    rope.original_context_length = original_context();
  }

  const HfSettings& settings_;
  const Json& json_;
  const std::string key_;
  SourceConfig& config_;
};

}  // namespace

// Of rope_scaling and rope_parameters transformers 5 takes the first and drops the other, its
// rope_theta too. rope_theta beside the object counts where the object has none.
void read_hf_rope(const HfSettings& settings, SourceConfig& config) {
  const double base = settings.number("rope_theta", settings.number("rotary_emb_base", 10000));
  const Json& old = settings.get("rope_scaling");
  const bool is_old = !old.is_null() && old != Json::object();
  if (const Json& other = settings.get("rope_parameters");
      is_old && !other.is_null() && other != old) {
    settings.refuse("rope_parameters", "nothing else than rope_scaling, which is set as well",
                    other);
  }
  const std::string key = is_old ? "rope_scaling" : "rope_parameters";
  const Json& rope = settings.get(key);
  const double window_base = settings.number("rope_local_base_freq", base);
  const bool by_layer = rope.find("full_attention") || rope.find("sliding_attention");
  if (by_layer) {
    const auto read = [&](const char* type, double type_base) {
      return RopeReader(settings, rope[type], fmt::format("{}.{}", key, type), config)
          .read(type_base);
    };
    for (const auto& [name, value] : rope.as_object()) {
      if (name == "full_attention" || name == "sliding_attention") continue;
      settings.refuse(fmt::format("{}.{}", key, name), "no such setting", value);
    }
    config.rope = read("full_attention", base);
    config.window_rope = read("sliding_attention", window_base);
    return;
  }
  config.rope = RopeReader(settings, rope, key, config).read(base);
  if (settings.is_set("rope_local_base_freq")) {
    config.window_rope = SourceRope{.base = window_base, .size = config.rope.size};
  }
}

}  // namespace mica
