#include "formats/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

#include "formats/invalid.h"
#include "lib/base/error.h"

namespace mica {
namespace {

const Family& find_family(const GgufFile& file) {
  if (const auto type = file.string("general.type"); type && *type != "model") {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: expected 'model', found '{}'", file.what("general.type"), *type));
  }
  const std::string what = file.what("general.architecture");
  const auto name = file.string("general.architecture");
  if (!name) fail_invalid(what, "expected a string, found no such key");
  std::string expected;
  for (const Family* family : families()) {
    if (family->gguf_architecture.empty()) continue;
    if (family->gguf_architecture == *name) return *family;
    expected += fmt::format("{}{}", expected.empty() ? "" : ", ", family->gguf_architecture);
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: architecture '{}' is not supported; expected one of {}", what, *name,
                          expected));
}

std::vector<double> read_factors(const GgufFile& file, const GgufTensor& tensor, int64_t size) {
  if (std::string_view(tensor.type->name) != "F32" ||
      tensor.dims[0] != static_cast<uint64_t>(size / 2) ||
      tensor.data.size() != tensor.dims[0] * sizeof(float)) {
    fail_invalid(fmt::format("{}: tensor '{}'", file.name(), tensor.name),
                 fmt::format("expected {} numbers of type F32, found {} bytes of type {}", size / 2,
                             tensor.data.size(), tensor.type->name));
  }
  std::vector<float> factors(tensor.dims[0]);
  std::memcpy(factors.data(), tensor.data.data(), tensor.data.size());
  return {factors.begin(), factors.end()};
}

void read_longrope(const GgufKeys& keys, const GgufRopeTensors& tensors, SourceRope& rope) {
  if (tensors.short_factors == nullptr || tensors.long_factors == nullptr) {
    // llama.cpp's converter says "longrope" of any model, but has factors of some families only.
    const bool has_none = tensors.short_factors == tensors.long_factors;
    fail_invalid(
        keys.file().name(),
        fmt::format("expected the tensors 'rope_factors_short.weight' and "
                    "'rope_factors_long.weight' of the rotary scaling 'longrope', found {}",
                    has_none ? "none" : "only one of them"));
  }
  rope.scaling = "longrope";
  rope.factors = read_factors(keys.file(), *tensors.short_factors, rope.size);
  rope.long_factors = read_factors(keys.file(), *tensors.long_factors, rope.size);
}

void read_yarn(const GgufKeys& keys, SourceConfig& config) {
  SourceRope& rope = config.rope;
  rope.scaling = "yarn";
  const double magnitude = rope.factor <= 1 ? 1 : 0.1 * std::log(rope.factor) + 1;
  rope.attention_factor *= keys.factor("rope.scaling.yarn_attn_factor", magnitude);
  rope.beta_fast = keys.factor("rope.scaling.yarn_beta_fast", 32);
  rope.beta_slow = keys.factor("rope.scaling.yarn_beta_slow", 1);
  for (const auto& [key, neutral] : {std::pair("rope.scaling.yarn_ext_factor", 1.0),
                                     std::pair("rope.scaling.yarn_log_multiplier", 0.0)}) {
    if (const auto value = keys.number(key); value && *value != neutral) {
      keys.refuse(key, fmt::format("expected {}, found {}", neutral, *value));
    }
  }
  const double reached = rope.factor * static_cast<double>(rope.original_context_length);
  if (reached < 1e9) {
    config.context_length = std::max(config.context_length, static_cast<int64_t>(reached));
  }
}

void read_rope(const GgufKeys& keys, const GgufRopeTensors& tensors, SourceConfig& config) {
  SourceRope& rope = config.rope;
  rope.base = keys.number("rope.freq_base").value_or(10000.0);
  rope.size = keys.optional("rope.dimension_count", config.head_size);
  rope.attention_factor = keys.factor("rope.scaling.attn_factor", 1);
  // "rope.scale_linear" is the spelling of old files.
  rope.factor = keys.factor("rope.scaling.factor", keys.factor("rope.scale_linear", 1));
  rope.original_context_length =
      keys.optional("rope.scaling.original_context_length", config.context_length);
  const std::string_view type = keys.string("rope.scaling.type").value_or("linear");
  const bool has_factor = rope.factor != 1;
  const bool is_long =
      type == "longrope" || tensors.short_factors != nullptr || tensors.long_factors != nullptr;
  if (type == "yarn") {
    read_yarn(keys, config);
  } else if (type == "linear" && has_factor) {
    rope.scaling = "linear";
  } else if (type != "linear" && type != "none" && type != "longrope") {
    keys.refuse("rope.scaling.type",
                fmt::format("rotary scaling '{}' is not supported; expected 'none', 'linear', "
                            "'yarn' or 'longrope'",
                            type));
  }
  if (tensors.factors == nullptr && !is_long) return;
  if (rope.scaling != "none" || (tensors.factors != nullptr && is_long)) {
    keys.refuse("rope.scaling.factor",
                fmt::format("{} rotary scaling together with a tensor '{}' is not supported",
                            rope.scaling == "none" ? "another" : rope.scaling,
                            tensors.factors ? tensors.factors->name
                                            : std::string_view("rope_factors_long.weight")));
  }
  if (is_long) return read_longrope(keys, tensors, rope);
  // llama.cpp stores the scaling of Llama 3 as the divisors themselves.
  rope.scaling = "factors";
  rope.factors = read_factors(keys.file(), *tensors.factors, rope.size);
}

std::string model_name(const GgufFile& file) {
  if (const auto name = file.string("general.name"); name && !name->empty())
    return std::string(*name);
  const std::string stem = file.name().substr(file.name().rfind('/') + 1);
  return stem.substr(0, stem.rfind(".gguf"));
}

void read_sizes(const GgufKeys& keys, SourceConfig& config) {
  config.layers = keys.required("block_count");
  check_layer_count(config.layers, keys.what("block_count"));
  config.context_length = keys.required("context_length");
  config.hidden_size = keys.required("embedding_length");
  config.feed_forward_size = keys.required("feed_forward_length");
  config.heads = keys.required("attention.head_count");
  config.kv_heads = keys.optional("attention.head_count_kv", config.heads);
  if (config.heads == 0 ||
      (!keys.has("attention.key_length") && config.hidden_size % config.heads != 0)) {
    fail_invalid(keys.what("attention.head_count"),
                 fmt::format("expected a divisor of the embedding length {}, found {}",
                             config.hidden_size, config.heads));
  }
  config.head_size = keys.optional("attention.key_length", config.hidden_size / config.heads);
  if (const int64_t size = keys.optional("attention.value_length", config.head_size);
      size != config.head_size) {
    keys.refuse("attention.value_length",
                fmt::format("expected {}, the size of keys, found {}", config.head_size, size));
  }
  config.norm_epsilon = keys.required_number(
      config.norm_biases ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon");
}

}  // namespace

GgufConfig read_gguf_config(const GgufFile& file, const GgufRopeTensors& rope,
                            std::vector<std::string>& notes) {
  const Family& family = find_family(file);
  SourceConfig config = family.config;
  config.name = model_name(file);
  const GgufKeys keys(file, family.gguf_architecture);
  if (const int64_t experts = keys.optional("expert_count", 0); experts != 0) {
    keys.refuse(
        "expert_count",
        fmt::format("a mixture of experts is not supported: expected 0, found {}", experts));
  }
  read_sizes(keys, config);
  read_rope(keys, rope, config);
  if (family.gguf_interleaves && config.rope.size != config.head_size) {
    // Which rows llama.cpp's converter has put where is known for whole heads only.
    keys.refuse("rope.dimension_count", fmt::format("expected {}, the size of a head, found {}",
                                                    config.head_size, config.rope.size));
  }
  // The key as it is for most; families with a pattern of windows read it again.
  set_window(config, keys.optional("attention.sliding_window", 0));
  config.attention_scale = keys.factor("attention.scale", 0);
  family.read_gguf(keys, config);
  keys.refuse_others(notes);
  return {&family, std::move(config)};
}

Json read_gguf_generation(const GgufFile& file) {
  Json generation = Json::object();
  if (const auto value = file.number("general.sampling.temp")) {
    generation["do_sample"] = *value > 0;
    if (*value > 0) generation["temperature"] = *value;
  }
  if (const auto value = file.unsigned_integer("general.sampling.top_k"))
    generation["top_k"] = *value;
  if (const auto value = file.number("general.sampling.top_p")) generation["top_p"] = *value;
  if (const auto value = file.number("general.sampling.min_p")) generation["min_p"] = *value;
  if (const auto value = file.number("general.sampling.penalty_repeat")) {
    generation["repetition_penalty"] = *value;
  }
  return generation;
}

}  // namespace mica
