#include "formats/source_config.h"

#include <cmath>
#include <fmt/format.h>
#include <map>
#include <optional>

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

void check_rope(const SourceConfig& config, const std::string& source) {
  check_positive(config.rope_base, source, "base of the rotary embedding");
  if (config.rope_size != config.head_size) {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{}: rotary embedding of a part of a head is not supported: expected {} "
                    "channels, found {}",
                    source, config.head_size, config.rope_size));
  }
  check_positive(config.rope_factor, source, "factor of the rotary scaling");
  if (config.rope_scaling == "llama3") {
    check_positive(config.rope_low_frequency_factor, source,
                   "low_freq_factor of the rotary scaling");
    if (!(config.rope_high_frequency_factor > config.rope_low_frequency_factor)) {
      fail_invalid(
          source, fmt::format("high_freq_factor of the rotary scaling: expected more than "
                              "low_freq_factor, which is {}, found {}",
                              config.rope_low_frequency_factor, config.rope_high_frequency_factor));
    }
    check_range(config.rope_original_context_length, kMaxContext, source,
                "original context length of the rotary scaling");
  }
  for (const float factor : config.rope_factors) {
    check_positive(factor, source, "factors of the rotary scaling");
  }
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

std::vector<ExpectedTensor> expected_in_layer(const SourceConfig& c) {
  const int64_t q = c.heads * c.head_size;
  const int64_t kv = c.kv_heads * c.head_size;
  return {
      {Role::kAttnNorm, {1, c.hidden_size}},
      {Role::kAttnQ, {q, c.hidden_size}},
      {Role::kAttnK, {kv, c.hidden_size}},
      {Role::kAttnV, {kv, c.hidden_size}},
      {Role::kAttnOut, {c.hidden_size, q}},
      {Role::kAttnQBias, {1, q}, c.qkv_bias},
      {Role::kAttnKBias, {1, kv}, c.qkv_bias},
      {Role::kAttnVBias, {1, kv}, c.qkv_bias},
      {Role::kAttnOutBias, {1, c.hidden_size}, c.attention_out_bias},
      {Role::kFfnNorm, {1, c.hidden_size}},
      {Role::kFfnGate, {c.feed_forward_size, c.hidden_size}},
      {Role::kFfnUp, {c.feed_forward_size, c.hidden_size}},
      {Role::kFfnDown, {c.hidden_size, c.feed_forward_size}},
      {Role::kFfnGateBias, {1, c.feed_forward_size}, c.feed_forward_bias},
      {Role::kFfnUpBias, {1, c.feed_forward_size}, c.feed_forward_bias},
      {Role::kFfnDownBias, {1, c.hidden_size}, c.feed_forward_bias},
  };
}

std::vector<ExpectedTensor> expected_outside(const SourceConfig& c) {
  std::vector<ExpectedTensor> expected = {
      {Role::kTokenEmbedding, {c.vocabulary_size, c.hidden_size}},
      {Role::kOutputNorm, {1, c.hidden_size}},
  };
  if (!c.tied_embeddings) expected.push_back({Role::kHead, {c.vocabulary_size, c.hidden_size}});
  return expected;
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

Json SourceConfig::to_json() const {
  Json rope = Json::object({{"base", rope_base}, {"size", rope_size}, {"scaling", rope_scaling}});
  if (rope_scaling == "linear" || rope_scaling == "llama3") rope["factor"] = rope_factor;
  if (rope_scaling == "llama3") {
    rope["low_frequency_factor"] = rope_low_frequency_factor;
    rope["high_frequency_factor"] = rope_high_frequency_factor;
    rope["original_context_length"] = rope_original_context_length;
  }
  if (rope_scaling == "factors") {
    Json factors = Json::array();
    for (const float factor : rope_factors) factors.push_back(double{factor});
    rope["factors"] = std::move(factors);
  }
  return Json::object({{"architecture", architecture},
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
                       {"activation", "silu"},
                       {"rope", std::move(rope)},
                       {"tied_embeddings", tied_embeddings}});
}

void check_config(const SourceConfig& config, const std::string& source) {
  check_range(config.layers, kMaxLayers, source, "number of layers");
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
  check_rope(config, source);
}

void check_tensors(const SourceConfig& config, const std::vector<SourceTensor>& tensors,
                   const std::string& source) {
  Inventory inventory(tensors, source);
  for (const ExpectedTensor& expected : expected_outside(config)) {
    inventory.strike_out(expected, kNoLayer);
  }
  for (const ExpectedTensor& expected : expected_in_layer(config)) {
    // Biases that are left open may be absent, but then in all layers.
    const bool present =
        expected.presence == Biases::kAlways ||
        (expected.presence == Biases::kOptional && inventory.has(expected.role, 0));
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
