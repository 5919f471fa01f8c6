#include "formats/hf_writer.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <set>

#include "formats/family.h"
#include "formats/hf_config.h"
#include "lib/base/error.h"

namespace mica {
namespace {

const Family& family_of(const ImportedModel& model) {
  const std::string& name = model.config["architecture"].as_string("model.architecture");
  for (const Family* family : families()) {
    if (family->config.architecture == name && !family->hf_classes.empty()) return *family;
  }
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("{}: the architecture '{}' has no Hugging Face layout here", model.name, name));
}

std::string type_of(const SourceTensor& tensor) {
  const std::string& type = tensor.source_type;
  if (type == "f32" || type == "F32") return "F32";
  if (type == "f16" || type == "F16") return "F16";
  return "BF16";
}

// Names the tensors of a family, those that it fuses together.
class TensorNamer {
 public:
  TensorNamer(const Family& family, const ImportedModel& model) : family_(family), model_(model) {
    for (size_t i = 0; i < model.tensors.size(); ++i) {
      by_place_[{model.tensors[i].layer, model.tensors[i].role}] = i;
    }
  }

  std::vector<HfTensor> name() {
    const auto layers = static_cast<int>(model_.config["layers"].as_integer("model.layers"));
    for (int layer = kNoLayer; layer < layers; ++layer) {
      for (const SourceName& fused : family_.hf_names) {
        if (fused.roles.size() > 1) add_fused(fused, layer);
      }
      for (const auto& [place, index] : by_place_) {
        if (place.first == layer && !done_.contains(place)) add_single(place.second, layer, index);
      }
    }
    return std::move(result_);
  }

 private:
  std::string full_name(std::string_view local, Role role, int layer) const {
    if (role == Role::kHead) return std::string(local);
    const std::string_view prefix =
        family_.hf_prefixes.empty() ? std::string_view() : family_.hf_prefixes.back();
    if (layer == kNoLayer) return fmt::format("{}{}", prefix, local);
    return fmt::format("{}layers.{}.{}", prefix, layer, local);
  }

  std::string_view local_name(Role role) const {
    for (const SourceName& own : family_.hf_names) {
      if (own.roles.size() == 1 && own.roles[0] == role) return own.name;
    }
    if (const char* name = hf_name_of_role(role)) return name;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: {} has no name in a Hugging Face folder of this architecture",
                            model_.name, role_name(role)));
  }

  void add_single(Role role, int layer, size_t index) {
    const SourceTensor& tensor = model_.tensors[index];
    HfTensor out{.name = full_name(local_name(role), role, layer), .type = type_of(tensor)};
    out.dims = {tensor.rows, tensor.cols};
    if (tensor.rows == 1) out.dims.erase(out.dims.begin());
    out.parts = {{index, 0, tensor.rows}};
    if (is_norm(role)) out.offset = family_.hf_norm_offset;
    result_.push_back(std::move(out));
  }

  // Row behind row, or the parts of one head behind those of another. A vector's elements count as
  // rows.
  void add_fused(const SourceName& fused, int layer) {
    std::vector<size_t> sources;
    for (const Role role : fused.roles) {
      const auto found = by_place_.find({layer, role});
      if (found == by_place_.end()) return;
      sources.push_back(found->second);
      done_.insert(found->first);
    }
    const SourceTensor& first = model_.tensors[sources[0]];
    const bool is_vector = first.rows == 1;
    const int64_t pieces = fused.by_head ? model_.config["heads"].as_integer("model.heads") : 1;
    HfTensor out{.name = full_name(fused.name, fused.roles[0], layer), .type = type_of(first)};
    int64_t rows = 0;
    for (int64_t piece = 0; piece < pieces; ++piece) {
      for (const size_t source : sources) {
        const SourceTensor& tensor = model_.tensors[source];
        const int64_t block = (is_vector ? tensor.cols : tensor.rows) / pieces;
        out.parts.push_back({source, piece * block, block});
        rows += block;
        if (type_of(tensor) != out.type) out.type = "BF16";
      }
    }
    out.dims = {rows, first.cols};
    if (is_vector) out.dims = {rows};
    result_.push_back(std::move(out));
  }

  const Family& family_;
  const ImportedModel& model_;
  std::map<std::pair<int, Role>, size_t> by_place_;
  std::set<std::pair<int, Role>> done_;
  std::vector<HfTensor> result_;
};

const char* activation_name(const std::string& name) {
  return name == "gelu_tanh" ? "gelu_pytorch_tanh" : name == "gelu" ? "gelu" : "silu";
}

// The "rope_scaling" of transformers 4, which 5 reads too; null: nothing is scaled.
Json rope_scaling_json(const Json& rope, const std::string& name) {
  const std::string& scaling = rope["scaling"].as_string("model.rope.scaling");
  if (scaling == "none") return {};
  if (scaling == "factors") {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: a rotary embedding scaled by a list of factors cannot be written "
                            "to config.json; convert from the Hugging Face model instead of GGUF",
                            name));
  }
  Json json = Json::object({{"rope_type", scaling}});
  const auto copy = [&](const char* key, const char* hf_key) {
    if (!rope[key].is_null()) json[hf_key] = rope[key];
  };
  copy("factor", "factor");
  copy("low_frequency_factor", "low_freq_factor");
  copy("high_frequency_factor", "high_freq_factor");
  copy("beta_fast", "beta_fast");
  copy("beta_slow", "beta_slow");
  copy("truncate", "truncate");
  copy("short_factors", "short_factor");
  copy("long_factors", "long_factor");
  if (scaling != "dynamic") copy("original_context_length", "original_max_position_embeddings");
  // Said even where it is 1: without it these two have a default of their own.
  if (scaling == "yarn" || scaling == "longrope") {
    json["attention_factor"] = number_or(rope, "attention_factor", 1);
  }
  return json;
}

void write_rope(const ImportedModel& model, Json& config) {
  const Json& rope = model.config["rope"];
  config["rope_theta"] = rope["base"];
  config["rope_scaling"] = rope_scaling_json(rope, model.name);
  const double size = rope["size"].as_number("model.rope.size");
  const double head_size = model.config["head_size"].as_number("model.head_size");
  if (size != head_size) {
    config["partial_rotary_factor"] =
        solve(size / head_size, size, [&](double x) { return std::floor(head_size * x); });
  }
  // Its scaling counts from the context that is configured.
  if (rope["scaling"] == Json("dynamic")) {
    config["max_position_embeddings"] = rope["original_context_length"];
  }
}

void write_biases(const Family& family, const ImportedModel& model, Json& config) {
  const auto has = [&](Role role) {
    return std::ranges::any_of(model.tensors,
                               [&](const SourceTensor& tensor) { return tensor.role == role; });
  };
  if (family.config.qkv_bias == Biases::kOptional) config["attention_bias"] = has(Role::kAttnQBias);
  if (family.config.feed_forward_bias == Biases::kOptional) {
    config["mlp_bias"] = has(Role::kFfnUpBias);
  }
}

void write_ids(const Json& special, Json& json) {
  for (const char* name : {"bos", "pad"}) {
    if (!special[name].is_null()) json[fmt::format("{}_token_id", name)] = special[name];
  }
  const Json& eos = special["eos"];
  if (eos.is_null()) return;
  json["eos_token_id"] = eos.as_array().size() == 1 ? eos.as_array()[0] : eos;
}

// Name of the first setting that differs, empty if none does. The order of members does not count.
std::string first_difference(const Json& a, const Json& b, const std::string& name) {
  if (a.is_number() && b.is_number()) return a.as_number() == b.as_number() ? "" : name;
  if (!a.is_object() || !b.is_object()) return a == b ? "" : name;
  for (const Json* json : {&a, &b}) {
    for (const auto& [key, value] : json->as_object()) {
      const std::string found = first_difference(a[key], b[key], name + "." + key);
      if (!found.empty()) return found;
    }
  }
  return "";
}

void require_faithful(const ImportedModel& model, const Json& config) {
  std::vector<std::string> notes;
  HfConfig back = read_hf_config(config, model.name + ": config.json", notes);
  back.config.name = model.config["name"].as_string("model.name");
  const std::string found = first_difference(model.config, back.config.to_json(), "model");
  if (!found.empty()) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the setting {} cannot be written to a config.json of {}",
                            model.name, found, back.family->hf_classes[0]));
  }
  check_tensors(back.config, model.tensors, model.name);
}

// The type that most of the weights have.
const char* main_type(const std::vector<HfTensor>& tensors) {
  std::map<std::string, uint64_t> bytes;
  for (const HfTensor& tensor : tensors) bytes[tensor.type] += tensor.bytes();
  const auto most = std::ranges::max_element(bytes, {}, [](const auto& e) { return e.second; });
  return most->first == "F32" ? "float32" : most->first == "F16" ? "float16" : "bfloat16";
}

// How tokenizer.json spells a token; null where it does not have it.
Json spelling_of(const Json& tokenizer, const Json& id) {
  for (const Json& token : tokenizer["added_tokens"].as_array("added_tokens")) {
    if (token["id"] == id) return token["content"];
  }
  const Json& vocabulary = tokenizer["model"]["vocab"];
  if (vocabulary.is_array()) {
    const Json::Array& pieces = vocabulary.as_array();
    const auto index = static_cast<size_t>(id.as_integer("token id"));
    return index < pieces.size() ? pieces[index].as_array()[0] : Json();
  }
  for (const auto& [content, known] : vocabulary.as_object("vocab")) {
    if (known == id) return content;
  }
  return {};
}

}  // namespace

uint64_t HfTensor::bytes() const {
  uint64_t size = type == "F32" ? 4 : 2;
  for (const int64_t dim : dims) size *= static_cast<uint64_t>(dim);
  return size;
}

std::vector<HfTensor> hf_tensors(const ImportedModel& model) {
  return TensorNamer(family_of(model), model).name();
}

Json hf_config_json(const ImportedModel& model, const std::vector<HfTensor>& tensors) {
  const Family& family = family_of(model);
  const Json& m = model.config;
  const bool is_gemma = family.config.norms_after && family.hf_norm_offset != 0;
  Json config = Json::object({{"architectures", Json(Json::Array{Json(family.hf_classes[0])})},
                              {"model_type", m["architecture"]},
                              {"hidden_size", m["hidden_size"]},
                              {"intermediate_size", m["feed_forward_size"]},
                              {"num_hidden_layers", m["layers"]},
                              {"num_attention_heads", m["heads"]},
                              {"num_key_value_heads", m["kv_heads"]},
                              {"head_dim", m["head_size"]},
                              {"vocab_size", m["vocabulary_size"]},
                              {"max_position_embeddings", m["context_length"]},
                              {is_gemma ? "hidden_activation" : "hidden_act",
                               activation_name(m["activation"].as_string("model.activation"))},
                              {family.hf_epsilon, m["norm_epsilon"]},
                              {"tie_word_embeddings", m["tied_embeddings"]}});
  write_rope(model, config);
  write_biases(family, model, config);
  write_ids(model.special_tokens, config);
  config["torch_dtype"] = main_type(tensors);
  config["use_cache"] = true;
  family.write_hf(m, config);
  require_faithful(model, config);
  return config;
}

Json hf_generation_json(const ImportedModel& model) {
  Json json = model.generation.is_null() ? Json::object() : model.generation;
  write_ids(model.special_tokens, json);
  return json;
}

Json hf_tokenizer_config_json(const ImportedModel& model, const Json& tokenizer) {
  Json json = Json::object({{"tokenizer_class", "PreTrainedTokenizerFast"},
                            {"clean_up_tokenization_spaces", false},
                            {"model_max_length", model.config["context_length"]}});
  for (const char* name : {"bos", "eos", "pad", "unk"}) {
    const Json& id = model.special_tokens[name];
    // null says that there is none, whatever number another file has.
    Json one = id;
    if (id.is_array()) one = id.as_array().empty() ? Json() : id.as_array()[0];
    json[fmt::format("{}_token", name)] = one.is_null() ? Json() : spelling_of(tokenizer, one);
  }
  return json;
}

std::string safetensors_header(const std::vector<const HfTensor*>& tensors) {
  Json header = Json::object({{"__metadata__", Json::object({{"format", "pt"}})}});
  uint64_t offset = 0;
  for (const HfTensor* tensor : tensors) {
    const uint64_t end = offset + tensor->bytes();
    header[tensor->name] =
        Json::object({{"dtype", tensor->type},
                      {"shape", Json::array(tensor->dims)},
                      {"data_offsets", Json(Json::Array{Json(offset), Json(end)})}});
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + text;
}

}  // namespace mica
