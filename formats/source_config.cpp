#include "formats/source_config.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "formats/invalid.h"
#include "lib/base/checked.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// Beyond these no sum of the engine could overflow, and no model is (the reader has the same).
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxWidth = 1 << 20;  // D, F, H * E
constexpr int64_t kMaxHeadSize = 1 << 12;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxContext = 1 << 24;

constexpr double kMinFactor = 1e-6;
constexpr double kMaxFactor = 1e6;

bool has_original_context(const SourceRope& rope) {
  return rope.scaling == "llama3" || rope.scaling == "yarn" || rope.scaling == "dynamic" ||
         rope.scaling == "longrope";
}

void check_range(int64_t value, int64_t high, const std::string& source, const char* name) {
  if (value < 1 || value > high) {
    fail_invalid(source, fmt::format("{}: expected 1 to {}, found {}", name, high, value));
  }
}

void check_positive(double value, const std::string& source, const char* name) {
  if (!(value > 0) || !std::isfinite(value)) {
    fail_invalid(source, fmt::format("{}: expected a positive number, found {}", name, value));
  }
}

void check_range(double value, double low, double high, const std::string& source,
                 const char* name) {
  if (!(value >= low && value <= high)) {
    fail_invalid(source, fmt::format("{}: expected {} to {}, found {}", name, low, high, value));
  }
}

void check_factors(const std::vector<double>& factors, const SourceRope& rope,
                   const std::string& source, const char* name) {
  if (std::ssize(factors) != rope.size / 2) {
    fail_invalid(
        source, fmt::format("{}: expected {} numbers, half of the rotated channels, found {}", name,
                            rope.size / 2, factors.size()));
  }
  for (const double factor : factors) check_range(factor, kMinFactor, kMaxFactor, source, name);
}

void check_rope(const SourceRope& rope, int64_t head_size, const std::string& source) {
  check_range(rope.base, 1, 1e12, source, "base of the rotary embedding");
  check_range(rope.size, head_size, source, "channels of the rotary embedding");
  if (rope.size % 2 != 0) {
    fail_invalid(source, fmt::format("channels of the rotary embedding: expected an even number, "
                                     "found {}",
                                     rope.size));
  }
  check_range(rope.factor, 1e-3, 1e6, source, "factor of the rotary scaling");
  check_range(rope.attention_factor, kMinFactor, kMaxFactor, source,
              "attention_factor of the rotary scaling");
  if (rope.scaling == "llama3") {
    check_range(rope.low_frequency_factor, 1e-3, 1e6, source,
                "low_freq_factor of the rotary scaling");
    // The two must differ: their difference is divided by.
    check_range(rope.high_frequency_factor, rope.low_frequency_factor * 1.001, 1e7, source,
                "high_freq_factor of the rotary scaling");
  }
  if (has_original_context(rope)) {
    check_range(rope.original_context_length, kMaxContext, source,
                "original context length of the rotary scaling");
  }
  if (rope.scaling == "yarn") {
    check_range(rope.beta_slow, kMinFactor, kMaxFactor, source, "beta_slow of the rotary scaling");
    check_range(rope.beta_fast, kMinFactor, kMaxFactor, source, "beta_fast of the rotary scaling");
  }
  if (rope.scaling == "factors") {
    check_factors(rope.factors, rope, source, "factors of the rotary scaling");
  }
  if (rope.scaling == "longrope") {
    check_factors(rope.factors, rope, source, "short_factor of the rotary scaling");
    check_factors(rope.long_factors, rope, source, "long_factor of the rotary scaling");
  }
}

// What a factor may be (the reader has the same bounds); `none` stands for there being none.
void check_scales(const SourceConfig& c, const std::string& source) {
  const auto check = [&](double value, double none, const char* name) {
    if (value != none) check_range(value, kMinFactor, kMaxFactor, source, name);
  };
  check(c.embedding_scale, 1, "scale of the embeddings");
  check(c.residual_scale, 1, "scale of the residual sums");
  check(c.logits_scale, 1, "scale of the logits");
  check(c.attention_scale, 0, "scale of the attention's scores");
  check(c.attention_softcap, 0, "softcap of the attention's scores");
  check(c.logits_softcap, 0, "softcap of the logits");
}

void check_layers(const std::vector<bool>& layers, const SourceConfig& config,
                  const std::string& source, const char* name) {
  if (layers.empty() || std::ssize(layers) == config.layers) return;
  fail_invalid(source, fmt::format("{}: expected one entry for each of {} layers, found {}", name,
                                   config.layers, layers.size()));
}

struct Shape {
  int64_t rows;
  int64_t cols;
  bool operator==(const Shape&) const = default;
};

struct ExpectedTensor {
  Role role;
  Shape shape;
  Biases presence = Biases::kAlways;
};

Biases present(bool is_there) {
  return is_there ? Biases::kAlways : Biases::kNever;
}

// Biases that are there together or not at all, by one of them.
Role first_of_biases(Role role) {
  switch (role) {
    case Role::kAttnKBias:
    case Role::kAttnVBias:
      return Role::kAttnQBias;
    case Role::kFfnGateBias:
    case Role::kFfnDownBias:
      return Role::kFfnUpBias;
    default:
      return role;
  }
}

std::vector<ExpectedTensor> expected_in_layer(const SourceConfig& c) {
  const int64_t d = c.hidden_size, f = c.feed_forward_size;
  const int64_t q = c.heads * c.head_size, kv = c.kv_heads * c.head_size;
  const bool each_head = c.query_key_norm == QueryKeyNorm::kEachHead;
  const Biases query_key_norm = present(c.query_key_norm != QueryKeyNorm::kNone);
  const Biases norms_before = present(c.norms_before);
  const Biases norms_after = present(c.norms_after);
  const Biases norm_biases = present(c.norm_biases && c.norms_before);
  return {
      {Role::kAttnNorm, {1, d}, norms_before},
      {Role::kAttnNormBias, {1, d}, norm_biases},
      {Role::kAttnQ, {q, d}},
      {Role::kAttnK, {kv, d}},
      {Role::kAttnV, {kv, d}},
      {Role::kAttnOut, {d, q}},
      {Role::kAttnQBias, {1, q}, c.qkv_bias},
      {Role::kAttnKBias, {1, kv}, c.qkv_bias},
      {Role::kAttnVBias, {1, kv}, c.qkv_bias},
      {Role::kAttnOutBias, {1, d}, c.attention_out_bias},
      {Role::kAttnQNorm, {1, each_head ? c.head_size : q}, query_key_norm},
      {Role::kAttnKNorm, {1, each_head ? c.head_size : kv}, query_key_norm},
      {Role::kAttnPostNorm, {1, d}, norms_after},
      {Role::kFfnNorm, {1, d}, norms_before},
      {Role::kFfnNormBias, {1, d}, norm_biases},
      {Role::kFfnGate, {f, d}, present(c.gated)},
      {Role::kFfnUp, {f, d}},
      {Role::kFfnDown, {d, f}},
      {Role::kFfnGateBias, {1, f}, c.gated ? c.feed_forward_bias : Biases::kNever},
      {Role::kFfnUpBias, {1, f}, c.feed_forward_bias},
      {Role::kFfnDownBias, {1, d}, c.feed_forward_bias},
      {Role::kFfnPostNorm, {1, d}, norms_after},
  };
}

std::vector<ExpectedTensor> expected_outside(const SourceConfig& c) {
  return {
      {Role::kTokenEmbedding, {c.vocabulary_size, c.hidden_size}},
      {Role::kOutputNorm, {1, c.hidden_size}},
      {Role::kOutputNormBias, {1, c.hidden_size}, present(c.norm_biases)},
      {Role::kHead, {c.vocabulary_size, c.hidden_size}, present(!c.tied_embeddings)},
  };
}

// The tensors by role and layer; what was expected is struck out, so that the rest is superfluous.
class Inventory {
 public:
  Inventory(const std::vector<SourceTensor>& tensors, const std::string& source) : source_(source) {
    for (const SourceTensor& tensor : tensors) {
      if (!tensors_.emplace(std::pair(tensor.role, tensor.layer), &tensor).second) {
        fail_invalid(what(tensor), fmt::format("expected one tensor for {}, found two",
                                               tensor_name(tensor.role, tensor.layer)));
      }
    }
  }

  bool has(Role role, int layer) const { return tensors_.contains({role, layer}); }

  void strike_out(const ExpectedTensor& expected, int layer) {
    const auto at = tensors_.find({expected.role, layer});
    if (at == tensors_.end()) {
      fail_invalid(source_, fmt::format("expected a tensor for {}, found none",
                                        tensor_name(expected.role, layer)));
    }
    const SourceTensor& tensor = *at->second;
    if (Shape{tensor.rows, tensor.cols} != expected.shape) {
      fail_invalid(what(tensor),
                   fmt::format("expected [{}, {}] by the configuration, file has [{}, {}]",
                               expected.shape.rows, expected.shape.cols, tensor.rows, tensor.cols));
    }
    tensors_.erase(at);
  }

  void refuse_rest(const SourceConfig& config) const {
    if (tensors_.empty()) return;
    const SourceTensor& tensor = *tensors_.begin()->second;
    if (tensor.layer >= config.layers) {
      fail_invalid(what(tensor),
                   fmt::format("expected {} layers by the configuration, found layer {}",
                               config.layers, tensor.layer));
    }
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: {} is not part of a model of architecture '{}'", what(tensor),
                            tensor_name(tensor.role, tensor.layer), config.architecture));
  }

 private:
  std::string what(const SourceTensor& tensor) const {
    return fmt::format("{}: tensor '{}'", source_, tensor.source_name);
  }

  const std::string& source_;
  std::map<std::pair<Role, int>, const SourceTensor*> tensors_;
};

}  // namespace

Json SourceRope::to_json() const {
  Json rope = Json::object({{"base", base}, {"size", size}, {"scaling", scaling}});
  const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), scaling) != names.end();
  };
  if (is_one_of({"linear", "llama3", "yarn", "dynamic"})) rope["factor"] = factor;
  if (scaling == "llama3") {
    rope["low_frequency_factor"] = low_frequency_factor;
    rope["high_frequency_factor"] = high_frequency_factor;
  }
  if (has_original_context(*this)) rope["original_context_length"] = original_context_length;
  if (scaling == "yarn") {
    if (beta_fast != 32) rope["beta_fast"] = beta_fast;
    if (beta_slow != 1) rope["beta_slow"] = beta_slow;
    if (!truncate) rope["truncate"] = false;
  }
  if (scaling == "factors") rope["factors"] = Json::array(factors);
  if (scaling == "longrope") {
    rope["short_factors"] = Json::array(factors);
    rope["long_factors"] = Json::array(long_factors);
  }
  if (attention_factor != 1) rope["attention_factor"] = attention_factor;
  return rope;
}

Json SourceConfig::to_json() const {
  Json json = Json::object({{"architecture", architecture},
                            {"name", name},
                            {"layers", layers},
                            {"hidden_size", hidden_size},
                            {"feed_forward_size", feed_forward_size},
                            {"heads", heads},
                            {"kv_heads", kv_heads},
                            {"head_size", head_size},
                            {"vocabulary_size", vocabulary_size},
                            {"context_length", context_length},
                            {"norm_epsilon", norm_epsilon},
                            {"activation", activation},
                            {"rope", rope.to_json()},
                            {"tied_embeddings", tied_embeddings}});
  if (embedding_scale != 1) json["embedding_scale"] = embedding_scale;
  if (residual_scale != 1) json["residual_scale"] = residual_scale;
  if (logits_scale != 1) json["logits_scale"] = logits_scale;
  if (logits_softcap != 0) json["logits_softcap"] = logits_softcap;
  if (attention_scale != 0) json["attention_scale"] = attention_scale;
  if (attention_softcap != 0) json["attention_softcap"] = attention_softcap;
  if (parallel_residual) json["parallel_residual"] = true;
  if (!rope_layers.empty()) json["rope_layers"] = Json::array(rope_layers);
  if (window == 0) return json;
  json["window"] = window;
  if (!windowed_layers.empty()) json["windowed_layers"] = Json::array(windowed_layers);
  if (window_rope && *window_rope != rope) json["window_rope"] = window_rope->to_json();
  return json;
}

void set_window(SourceConfig& config, int64_t window, std::vector<bool> windowed_layers) {
  const bool turns = config.window_rope && *config.window_rope != config.rope;
  const bool shows = window != 0 && (window < config.context_length || turns) &&
                     (windowed_layers.empty() ||
                      std::count(windowed_layers.begin(), windowed_layers.end(), true) > 0);
  config.window = shows ? window : 0;
  const bool all = std::ssize(windowed_layers) == config.layers &&
                   std::count(windowed_layers.begin(), windowed_layers.end(), false) == 0;
  config.windowed_layers = shows && !all ? std::move(windowed_layers) : std::vector<bool>();
}

void check_layer_count(int64_t layers, const std::string& source) {
  check_range(layers, kMaxLayers, source, "number of layers");
}

void check_config(const SourceConfig& config, const std::string& source) {
  check_layer_count(config.layers, source);
  check_range(config.hidden_size, kMaxWidth, source, "hidden size");
  check_range(config.feed_forward_size, kMaxWidth, source, "feed-forward size");
  check_range(config.head_size, kMaxHeadSize, source, "head size");
  check_range(config.heads, kMaxWidth / config.head_size, source, "number of heads");
  check_range(config.kv_heads, config.heads, source, "number of key and value heads");
  if (config.heads % config.kv_heads != 0) {
    fail_invalid(source,
                 fmt::format("number of key and value heads: expected a divisor of {}, found {}",
                             config.heads, config.kv_heads));
  }
  if (config.head_size % 2 != 0) {
    fail_invalid(source,
                 fmt::format("head size: expected an even number, found {}", config.head_size));
  }
  check_range(config.vocabulary_size, kMaxVocabulary, source, "vocabulary size");
  check_range(config.context_length, kMaxContext, source, "context length");
  check_positive(config.norm_epsilon, source, "epsilon of the norms");
  check_scales(config, source);
  if (config.window != 0) check_range(config.window, kMaxContext, source, "sliding window");
  check_layers(config.windowed_layers, config, source, "layers with a window");
  check_layers(config.rope_layers, config, source, "layers with a rotary embedding");
  check_rope(config.rope, config.head_size, source);
  if (config.window_rope) check_rope(*config.window_rope, config.head_size, source);
}

void check_tensors(const SourceConfig& config, const std::vector<SourceTensor>& tensors,
                   const std::string& source) {
  Inventory inventory(tensors, source);
  for (const ExpectedTensor& expected : expected_outside(config)) {
    if (expected.presence == Biases::kAlways) inventory.strike_out(expected, kNoLayer);
  }
  // Biases that are left open may be absent, but then in all layers.
  std::vector<ExpectedTensor> in_layer = expected_in_layer(config);
  for (ExpectedTensor& expected : in_layer) {
    if (expected.presence != Biases::kOptional) continue;
    expected.presence = present(inventory.has(first_of_biases(expected.role), 0));
  }
  for (const ExpectedTensor& expected : in_layer) {
    const bool present = expected.presence == Biases::kAlways;
    for (int layer = 0; present && layer < config.layers; ++layer) {
      inventory.strike_out(expected, layer);
    }
  }
  inventory.refuse_rest(config);
}

void check_rows(const SourceTensor& tensor, int64_t first, int64_t rows) {
  if (first < 0 || rows < 0 || rows > tensor.rows || first > tensor.rows - rows) {
    throw Error(ErrorCode::kUsage,
                fmt::format("tensor '{}': expected rows within {}, found {} rows from row {} on",
                            tensor.source_name, tensor.rows, rows, first));
  }
}

}  // namespace mica
