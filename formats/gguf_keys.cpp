#include "formats/gguf_keys.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

#include "formats/family.h"
#include "formats/invalid.h"

namespace mica {
namespace {

// Keys by which some model computes something else; 0 and false stand for none. Where the
// architecture does not read them, the file means another model than the one that would be run.
constexpr std::string_view kMeaningful[] = {
    "attention.clamp_kqv",
    "attention.key_length_mla",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.max_alibi_bias",
    "attention.output_scale",
    "attention.q_lora_rank",
    "attention.shared_kv_layers",
    "attention.sliding_window_pattern",
    "attention.temperature_length",
    "attention.temperature_scale",
    "attention.value_length_mla",
    "attention.value_length_swa",
    "attention.value_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "final_logit_softcapping",
    "hidden_activation",
    "logit_scale",
    "nextn_predict_layers",
    "pooling_type",
    "residual_scale",
    "rope.dimension_count_swa",
    "rope.dimension_sections",
    "rope.freq_base_swa",
    "rope.scaling.alpha",
    "swin_norm",
    "use_parallel_residual",
};
static_assert(std::is_sorted(std::begin(kMeaningful), std::end(kMeaningful)));

// The size of the vocabulary is read with the tensors; files of old converters have both epsilons.
constexpr std::string_view kHarmless[] = {
    "attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "rope.scaling.finetuned",
    "tensor_data_layout", "vocab_size"};

bool is_zero(const GgufKey& key) {
  return key.type != GgufValueType::kArray && key.type != GgufValueType::kString &&
         std::all_of(key.value.begin(), key.value.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

std::string GgufKeys::key(std::string_view name) const {
  return fmt::format("{}.{}", architecture_, name);
}

int64_t GgufKeys::required(std::string_view name) const {
  const auto value = integer(name);
  if (!value) fail_invalid(what(name), "expected an integer, found no such key");
  return checked_cast<int64_t>(*value, what(name));
}

double GgufKeys::required_number(std::string_view name) const {
  const auto value = number(name);
  if (!value) fail_invalid(what(name), "expected a float, found no such key");
  return *value;
}

double GgufKeys::factor(std::string_view name, double otherwise) const {
  const double value = number(name).value_or(0.0);
  return value == 0 ? otherwise : value;
}

void GgufKeys::refuse(std::string_view name, std::string_view reason) const {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}", what(name), reason));
}

std::vector<bool> GgufKeys::windowed_layers(int64_t layers, int64_t period) const {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const GgufKey* key = file_.find(ask(kPattern));
  if (key != nullptr && key->type == GgufValueType::kArray) {
    return *file_.booleans(this->key(kPattern));
  }
  period = optional(kPattern, period);
  return all_but_each(period, layers);
}

void GgufKeys::refuse_others(std::vector<std::string>& notes) const {
  if (!boolean("attention.causal").value_or(true)) {
    refuse("attention.causal", "expected true, found false");
  }
  const std::string prefix = key("");
  for (const GgufKey& key : file_.keys()) {
    if (!key.name.starts_with(prefix)) continue;
    const std::string_view name = key.name.substr(prefix.size());
    if (asked_.contains(name) || is_zero(key)) continue;
    if (std::find(std::begin(kHarmless), std::end(kHarmless), name) != std::end(kHarmless))
      continue;
    if (name.starts_with("expert_") ||
        std::binary_search(std::begin(kMeaningful), std::end(kMeaningful), name)) {
      refuse(name, "expected no such key in a model of this architecture, found one");
    }
    notes.push_back(fmt::format("key '{}': not known here and not used", key.name));
  }
}

}  // namespace mica
