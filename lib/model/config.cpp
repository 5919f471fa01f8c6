#include "lib/model/config.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <optional>

#include "lib/base/error.h"

namespace mica {
namespace {

// With these, T * F, V * D and the bytes of a KV cache stay far below 2^63.
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxWidth = 1 << 20;  // D, F, H * E
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxContext = 1 << 24;

template <class T>
struct Named {
  const char* name;
  T value;
};

constexpr Named<Activation> kActivations[] = {
    {"silu", Activation::kSilu}, {"gelu", Activation::kGelu}, {"gelu_tanh", Activation::kGeluTanh}};
constexpr Named<RopeConfig::Scaling> kScalings[] = {
    {"none", RopeConfig::Scaling::kNone},        {"linear", RopeConfig::Scaling::kLinear},
    {"llama3", RopeConfig::Scaling::kLlama3},    {"factors", RopeConfig::Scaling::kFactors},
    {"yarn", RopeConfig::Scaling::kYarn},        {"dynamic", RopeConfig::Scaling::kDynamic},
    {"longrope", RopeConfig::Scaling::kLongRope}};

template <class T>
[[noreturn]] void fail(const std::string& what, const std::string& expected, const T& found) {
  throw Error(ErrorCode::kInvalidFile,
              fmt::format("{}: expected {}, found {}", what, expected, found));
}

// The members of one object. Remembers which were asked for: a setting nobody asked for would be
// ignored in silence, and the model would answer wrongly.
class Fields {
 public:
  Fields(const Json& object, std::string path)
      : members_(object.as_object(path)), object_(object), path_(std::move(path)) {}

  const Json& get(std::string_view key) {
    asked_.push_back(key);
    return object_[key];
  }

  bool has(std::string_view key) { return !get(key).is_null(); }

  std::string what(std::string_view key) const { return fmt::format("{}.{}", path_, key); }

  int64_t integer(std::string_view key, int64_t low, int64_t high) {
    const int64_t value = get(key).as_integer(what(key));
    if (value < low || value > high) fail_range(key, low, high, value);
    return value;
  }

  double number(std::string_view key, double low, double high) {
    const double value = get(key).as_number(what(key));
    if (!(value >= low && value <= high)) fail_range(key, low, high, value);
    return value;
  }

  // A positive factor, or `otherwise` where there is none.
  float factor_or(float otherwise, std::string_view key) {
    return has(key) ? static_cast<float>(number(key, 1e-6, 1e6)) : otherwise;
  }

  bool boolean_or(bool otherwise, std::string_view key) {
    return has(key) ? get(key).as_bool(what(key)) : otherwise;
  }

  std::vector<bool> booleans_or(bool otherwise, std::string_view key, int64_t count) {
    std::vector<bool> values(count, otherwise);
    if (!has(key)) return values;
    const Json::Array& items = get(key).as_array(what(key));
    require_count(key, "booleans", count, std::ssize(items));
    for (size_t i = 0; i < items.size(); ++i) values[i] = items[i].as_bool(what(key));
    return values;
  }

  // Positive and finite.
  std::vector<float> factors(std::string_view key, int64_t count) {
    const Json::Array& items = get(key).as_array(what(key));
    require_count(key, "numbers", count, std::ssize(items));
    std::vector<float> values;
    for (const Json& item : items) {
      values.push_back(static_cast<float>(item.as_number(what(key))));
      if (values.back() > 0 && std::isfinite(values.back())) continue;
      fail(what(key), "positive numbers", item.dump());
    }
    return values;
  }

  template <class T, size_t N>
  T one_of(std::string_view key, const Named<T> (&known)[N]) {
    const std::string& name = get(key).as_string(what(key));
    std::string list;
    for (const Named<T>& entry : known) {
      if (name == entry.name) return entry.value;
      list += fmt::format("{}'{}'", list.empty() ? "" : ", ", entry.name);
    }
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: expected {}, found '{}'", what(key), list, name));
  }

  void refuse_others() const {
    for (const auto& [key, value] : members_) {
      if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: expected no such setting, found {}", what(key), value.dump()));
    }
  }

 private:
  template <class T>
  [[noreturn]] void fail_range(std::string_view key, T low, T high, T found) const {
    fail(what(key), fmt::format("{} .. {}", low, high), found);
  }
  void require_count(std::string_view key, const char* things, int64_t count, int64_t found) const {
    if (found != count) fail(what(key), fmt::format("{} {}", count, things), found);
  }

  const Json::Object& members_;
  const Json& object_;
  std::string path_;
  std::vector<std::string_view> asked_;
};

RopeConfig parse_rope(const Json& json, const std::string& path, int64_t head_size) {
  Fields fields(json, path);
  RopeConfig rope;
  rope.base = fields.number("base", 1, 1e12);
  rope.size = fields.integer("size", 2, head_size);
  if (rope.size % 2 != 0) fail(fields.what("size"), "an even number", rope.size);
  rope.scaling = fields.one_of("scaling", kScalings);
  rope.attention_factor = fields.factor_or(1, "attention_factor");
  using Scaling = RopeConfig::Scaling;
  const auto is_one_of = [&](std::initializer_list<Scaling> those) {
    return std::find(those.begin(), those.end(), rope.scaling) != those.end();
  };
  if (is_one_of({Scaling::kLinear, Scaling::kLlama3, Scaling::kYarn, Scaling::kDynamic})) {
    rope.factor = fields.number("factor", 1e-3, 1e6);
  }
  if (is_one_of({Scaling::kLlama3, Scaling::kYarn, Scaling::kDynamic, Scaling::kLongRope})) {
    rope.original_context_length = fields.integer("original_context_length", 1, kMaxContext);
  }
  if (rope.scaling == Scaling::kLlama3) {
    rope.low_frequency_factor = fields.number("low_frequency_factor", 1e-3, 1e6);
    // The two must differ: their difference is divided by.
    rope.high_frequency_factor =
        fields.number("high_frequency_factor", rope.low_frequency_factor * 1.001, 1e7);
  }
  if (rope.scaling == Scaling::kYarn) {
    rope.beta_fast = fields.factor_or(32, "beta_fast");
    rope.beta_slow = fields.factor_or(1, "beta_slow");
    rope.truncate = fields.boolean_or(true, "truncate");
  }
  if (rope.scaling == Scaling::kFactors) rope.factors = fields.factors("factors", rope.size / 2);
  if (rope.scaling == Scaling::kLongRope) {
    rope.factors = fields.factors("short_factors", rope.size / 2);
    rope.long_factors = fields.factors("long_factors", rope.size / 2);
  }
  fields.refuse_others();
  return rope;
}

void parse_scales(Fields& fields, ModelConfig& config) {
  config.embedding_scale = fields.factor_or(1, "embedding_scale");
  config.residual_scale = fields.factor_or(1, "residual_scale");
  config.logits_scale = fields.factor_or(1, "logits_scale");
  config.logits_softcap = fields.factor_or(0, "logits_softcap");
  config.attention_scale =
      fields.factor_or(1.0f / std::sqrt(static_cast<float>(config.head_size)), "attention_scale");
  config.attention_softcap = fields.factor_or(0, "attention_softcap");
}

void parse_layers(Fields& fields, ModelConfig& config) {
  const int64_t layers = config.layers;
  if (fields.has("window")) config.window = fields.integer("window", 1, kMaxContext);
  const bool has_window = config.window > 0;
  if (!has_window && fields.has("windowed_layers")) fail(fields.what("window"), "integer", "null");
  config.windowed_layers = fields.booleans_or(has_window, "windowed_layers", layers);
  config.rope_layers = fields.booleans_or(true, "rope_layers", layers);
  config.rope = parse_rope(fields.get("rope"), fields.what("rope"), config.head_size);
  if (!fields.has("window_rope")) return;
  config.window_rope =
      parse_rope(fields.get("window_rope"), fields.what("window_rope"), config.head_size);
}

}  // namespace

ModelConfig parse_model_config(const Json& model, std::string_view file) {
  Fields fields(model, fmt::format("{}: model", file));
  ModelConfig config;
  config.architecture = fields.get("architecture").as_string(fields.what("architecture"));
  config.name = fields.get("name").as_string(fields.what("name"));
  config.layers = fields.integer("layers", 1, kMaxLayers);
  config.hidden_size = fields.integer("hidden_size", 1, kMaxWidth);
  config.feed_forward_size = fields.integer("feed_forward_size", 1, kMaxWidth);
  config.head_size = fields.integer("head_size", 2, 4096);
  if (config.head_size % 2 != 0) fail(fields.what("head_size"), "an even number", config.head_size);
  config.heads = fields.integer("heads", 1, kMaxWidth / config.head_size);
  config.kv_heads = fields.integer("kv_heads", 1, config.heads);
  if (config.heads % config.kv_heads != 0) {
    fail(fields.what("kv_heads"), fmt::format("a divisor of {} heads", config.heads),
         config.kv_heads);
  }
  config.vocabulary_size = fields.integer("vocabulary_size", 1, kMaxVocabulary);
  config.context_length = fields.integer("context_length", 1, kMaxContext);
  config.norm_epsilon = static_cast<float>(fields.number("norm_epsilon", 0, 1));
  config.activation = fields.one_of("activation", kActivations);
  config.tied_embeddings = fields.get("tied_embeddings").as_bool(fields.what("tied_embeddings"));
  config.parallel_residual = fields.boolean_or(false, "parallel_residual");
  parse_scales(fields, config);
  parse_layers(fields, config);
  fields.refuse_others();
  return config;
}

}  // namespace mica
