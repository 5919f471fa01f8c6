#include "formats/gguf_config.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "formats/invalid.h"
#include "lib/base/error.h"

namespace mica {
namespace {

struct KnownArchitecture {
  std::string_view name;
  bool permuted;
};
constexpr KnownArchitecture kArchitectures[] = {{"llama", true}, {"qwen2", false}};

[[noreturn]] void refuse(const std::string& what, const std::string& reason) {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}", what, reason));
}

// Keys of one architecture: "llama." stands before each.
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view architecture) : file_(file), prefix_(architecture) {}

  std::string key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }
  std::string what(std::string_view name) const { return file_.what(key(name)); }
  auto integer(std::string_view name) const { return file_.unsigned_integer(key(name)); }
  auto number(std::string_view name) const { return file_.number(key(name)); }
  auto string(std::string_view name) const { return file_.string(key(name)); }

  int64_t required(std::string_view name) const {
    const auto value = integer(name);
    if (!value) fail_invalid(what(name), "expected an integer, found no such key");
    return checked_cast<int64_t>(*value, what(name));
  }
  int64_t optional(std::string_view name, int64_t otherwise) const {
    return integer(name) ? required(name) : otherwise;
  }
  void refuse_unless_zero(std::string_view name, const char* reason) const {
    if (const auto value = integer(name); value && *value != 0) {
      refuse(what(name), fmt::format("{} not supported: expected 0, found {}", reason, *value));
    }
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

std::string_view read_architecture(const GgufFile& file) {
  if (const auto type = file.string("general.type"); type && *type != "model") {
    refuse(file.what("general.type"), fmt::format("expected 'model', found '{}'", *type));
  }
  const auto name = file.string("general.architecture");
  if (!name)
    fail_invalid(file.what("general.architecture"), "expected a string, found no such key");
  for (const KnownArchitecture& known : kArchitectures) {
    if (known.name == *name) return *name;
  }
  refuse(file.what("general.architecture"),
         fmt::format("architecture '{}' is not supported; expected 'llama' or 'qwen2'", *name));
}

// llama.cpp stores the scaling of Llama 3 as the divisors themselves.
std::vector<float> read_factors(const GgufFile& file, const GgufTensor& tensor, int64_t size) {
  const std::string what = fmt::format("{}: tensor '{}'", file.name(), tensor.name);
  if (std::string_view(tensor.type->name) != "F32" ||
      tensor.dims[0] != static_cast<uint64_t>(size / 2) ||
      tensor.data.size() != tensor.dims[0] * sizeof(float)) {
    fail_invalid(what, fmt::format("expected {} numbers of type F32, found {} bytes of type {}",
                                   size / 2, tensor.data.size(), tensor.type->name));
  }
  std::vector<float> factors(tensor.dims[0]);
  std::memcpy(factors.data(), tensor.data.data(), tensor.data.size());
  return factors;
}

void read_rope(const GgufFile& file, const Keys& keys, const GgufTensor* rope_freqs,
               SourceConfig& config) {
  config.rope_base = keys.number("rope.freq_base").value_or(10000.0);
  config.rope_size = keys.optional("rope.dimension_count", config.head_size);
  if (const auto factor = keys.number("rope.scaling.attn_factor"); factor && *factor != 1) {
    refuse(keys.what("rope.scaling.attn_factor"), fmt::format("expected 1, found {}", *factor));
  }
  // "rope.scale_linear" is the spelling of old files.
  const double factor =
      keys.number("rope.scaling.factor").value_or(keys.number("rope.scale_linear").value_or(1.0));
  const std::string_view type = keys.string("rope.scaling.type").value_or("linear");
  if (type != "linear" && type != "none") {
    refuse(keys.what("rope.scaling.type"),
           fmt::format("rotary scaling '{}' is not supported; expected 'none' or 'linear'", type));
  }
  if (type == "linear" && factor != 1 && factor != 0) {
    config.rope_scaling = "linear";
    config.rope_factor = factor;
  }
  if (rope_freqs == nullptr) return;
  if (config.rope_scaling != "none") {
    refuse(keys.what("rope.scaling.factor"),
           "linear rotary scaling together with a tensor 'rope_freqs.weight' is not supported");
  }
  config.rope_scaling = "factors";
  config.rope_factors = read_factors(file, *rope_freqs, config.rope_size);
}

std::string model_name(const GgufFile& file) {
  if (const auto name = file.string("general.name"); name && !name->empty())
    return std::string(*name);
  const std::string stem = file.name().substr(file.name().rfind('/') + 1);
  return stem.substr(0, stem.rfind(".gguf"));
}

}  // namespace

SourceConfig read_gguf_config(const GgufFile& file, const GgufTensor* rope_freqs) {
  SourceConfig config;
  config.architecture = read_architecture(file);
  config.name = model_name(file);
  if (config.architecture == "qwen2") {
    config.qkv_bias = Biases::kAlways;
    config.attention_out_bias = config.feed_forward_bias = Biases::kNever;
  }
  const Keys keys(file, config.architecture);
  keys.refuse_unless_zero("expert_count", "a mixture of experts is");
  config.layers = keys.required("block_count");
  config.context_length = keys.required("context_length");
  config.hidden_size = keys.required("embedding_length");
  config.feed_forward_size = keys.required("feed_forward_length");
  config.heads = keys.required("attention.head_count");
  config.kv_heads = keys.optional("attention.head_count_kv", config.heads);
  if (config.heads == 0 ||
      (!keys.integer("attention.key_length") && config.hidden_size % config.heads != 0)) {
    fail_invalid(keys.what("attention.head_count"),
                 fmt::format("expected a divisor of the embedding length {}, found {}",
                             config.hidden_size, config.heads));
  }
  config.head_size = keys.optional("attention.key_length", config.hidden_size / config.heads);
  if (const int64_t size = keys.optional("attention.value_length", config.head_size);
      size != config.head_size) {
    refuse(keys.what("attention.value_length"),
           fmt::format("expected {}, the size of keys, found {}", config.head_size, size));
  }
  const auto window = keys.integer("attention.sliding_window");
  if (window && *window != 0 && std::cmp_less(*window, config.context_length)) {
    refuse(keys.what("attention.sliding_window"),
           fmt::format("sliding windows are not supported: expected none shorter than the context "
                       "of {}, found {}",
                       config.context_length, *window));
  }
  if (const auto scale = keys.number("attention.scale"); scale && *scale != 0) {
    refuse(keys.what("attention.scale"), fmt::format("expected no such key, found {}", *scale));
  }
  const auto epsilon = keys.number("attention.layer_norm_rms_epsilon");
  if (!epsilon)
    fail_invalid(keys.what("attention.layer_norm_rms_epsilon"),
                 "expected a float, found no such key");
  config.norm_epsilon = *epsilon;
  read_rope(file, keys, rope_freqs, config);
  return config;
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

bool permutes_query_and_key(std::string_view architecture) {
  return std::any_of(
      std::begin(kArchitectures), std::end(kArchitectures),
      [&](const KnownArchitecture& known) { return known.name == architecture && known.permuted; });
}

}  // namespace mica
