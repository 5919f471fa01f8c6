#include "formats/gguf_keys.h"

#include <algorithm>
#include <fmt/format.h>

#include "formats/family.h"
#include "formats/invalid.h"

namespace mica {
namespace {

// Keys by which some model computes something else; 0 and false stand for none. Where the
// architecture does not read them, the file means another model than the one that would be run.
constexpr std::string_view kMeaningful[] = {
    "attention.clamp_kqv",
    "attention.key_length_swa",
    "attention.kv_lora_rank",
    "attention.max_alibi_bias",
    "attention.q_lora_rank",
    "attention.sliding_window_pattern",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "final_logit_softcapping",
    "logit_scale",
    "nextn_predict_layers",
    "residual_scale",
    "rope.dimension_count_swa",
    "rope.dimension_sections",
    "rope.freq_base_swa",
    "rope.scaling.alpha",
    "use_parallel_residual",
};

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

void GgufKeys::refuse_others() const {
  for (const std::string_view name : kMeaningful) {
    const GgufKey* key = file_.find(this->key(name));
    if (key == nullptr || asked_.contains(name) || is_zero(*key)) continue;
    refuse(name, "expected no such key in a model of this architecture, found one");
  }
  if (!boolean("attention.causal").value_or(true)) {
    refuse("attention.causal", "expected true, found false");
  }
}

}  // namespace mica
