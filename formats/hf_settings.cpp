#include "formats/hf_settings.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>

#include "lib/base/error.h"

namespace mica {
namespace {

// Settings by which some model of the world computes something else. Where the class that was asked
// for does not read them, the file means another model than the one that would be run.
constexpr std::string_view kMeaningful[] = {
    "alibi",
    "alibi_bias_max",
    "attention_bias",
    "attention_chunk_size",
    "attention_multiplier",
    "attn_logit_softcapping",
    "attn_temperature_tuning",
    "clip_qkv",
    "dim_model_base",
    "embedding_multiplier",
    "final_logit_softcapping",
    "head_dim",
    "kv_lora_rank",
    "layer_types",
    "logit_scale",
    "logits_scaling",
    "mlp_bias",
    "n_routed_experts",
    "no_rope_layer_interval",
    "no_rope_layers",
    "num_experts",
    "num_local_experts",
    "partial_rotary_factor",
    "q_lora_rank",
    "qk_layernorm",
    "query_pre_attn_scalar",
    "residual_multiplier",
    "rope_local_base_freq",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "rotary_emb_base",
    "rotary_pct",
    "scale_depth",
    "scale_emb",
    "scale_embedding",
    "sliding_window",
    "sliding_window_pattern",
    "sparse_config",
    "use_alibi",
    "use_bias",
    "use_bidirectional_attention",
    "use_parallel_residual",
    "use_qk_norm",
    "use_qkv_bias",
    "use_sliding_window",
};
static_assert(std::is_sorted(std::begin(kMeaningful), std::end(kMeaningful)));

// Settings of training, of generation and of other programs. What ends in one of these words counts
// too.
constexpr std::string_view kHarmless[] = {
    "_name_or_path",
    "architectures",
    "attn_implementation",
    "auto_map",
    "cache_implementation",
    "dtype",
    "hybrid_kvcache",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "max_length",
    "max_sequence_length",
    "max_window_layers",
    "mlp_type",
    "model_type",
    "mup_denominator",
    "norm_type",
    "original_max_position_embeddings",
    "output_attentions",
    "output_hidden_states",
    "pretraining_tp",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
};
constexpr std::string_view kHarmlessEndings[] = {"_dropout", "_pdrop", "_token_id", "_token_index"};

bool is_off(const Json& value) {
  return value.is_null() || value == Json(false) || value == Json(0) || value == Json(0.0) ||
         value == Json("") || value == Json::array() || value == Json::object();
}

bool is_harmless(std::string_view key, const Json& value) {
  if (key == "layer_types" && value.is_array()) {
    const Json::Array& types = value.as_array();
    return std::all_of(types.begin(), types.end(),
                       [](const Json& type) { return type == Json("full_attention"); });
  }
  return std::find(std::begin(kHarmless), std::end(kHarmless), key) != std::end(kHarmless) ||
         std::any_of(std::begin(kHarmlessEndings), std::end(kHarmlessEndings),
                     [&](std::string_view ending) { return key.ends_with(ending); });
}

}  // namespace

HfSettings::HfSettings(const Json& json, const char* defaults, const std::string& file)
    : json_(json), defaults_(Json::parse(defaults, "defaults")), file_(file) {
  json_.as_object(file_);
}

const Json& HfSettings::get(std::string_view key) const {
  asked_.emplace(key);
  const Json* found = json_.find(key);
  return found != nullptr ? *found : defaults_[key];
}

std::string HfSettings::what(std::string_view key) const {
  return fmt::format("{}: {}", file_, key);
}

void HfSettings::refuse(std::string_view key, std::string_view expected, const Json& found) const {
  const bool is_long = found.is_object() || found.is_array();
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("{}: {} is not supported; expected {}", what(key),
                  is_long ? fmt::format("this {}", found.type_name()) : found.dump(), expected));
}

std::vector<bool> HfSettings::windowed_layers() const {
  std::vector<bool> windowed;
  if (!is_set("layer_types")) return windowed;
  for (const Json& type : get("layer_types").as_array(what("layer_types"))) {
    windowed.push_back(type == Json("sliding_attention"));
    if (!windowed.back() && type != Json("full_attention")) {
      refuse("layer_types", "\"full_attention\" or \"sliding_attention\"", type);
    }
  }
  return windowed;
}

void HfSettings::refuse_others(std::vector<std::string>& notes) const {
  for (const auto& [key, value] : json_.as_object()) {
    if (asked_.contains(key) || is_off(value) || is_harmless(key, value)) continue;
    if (std::binary_search(std::begin(kMeaningful), std::end(kMeaningful), key)) {
      refuse(key, "no such setting in a model of this class", value);
    }
    notes.push_back(fmt::format("config.json: {}: not known here and not used", key));
  }
}

}  // namespace mica
