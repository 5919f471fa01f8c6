#include "formats/huggingface.h"

#include <fmt/format.h>

#include "formats/float_rows.h"
#include "formats/hf_config.h"
#include "formats/hf_tokens.h"
#include "formats/safetensors.h"
#include "lib/base/error.h"

namespace mica {
namespace {

struct FloatType {
  std::string_view name;
  int64_t bytes;
  void (*widen)(const std::byte* elements, int64_t count, float* out);
};
constexpr FloatType kFloatTypes[] = {
    {"F32", 4, widen_f32}, {"F16", 2, widen_f16}, {"BF16", 2, widen_bf16}};

const FloatType& find_float_type(const std::string& name, const std::string& what) {
  for (const FloatType& type : kFloatTypes) {
    if (type.name == name) return type;
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: type {} is not supported; expected F32, F16 or BF16", what, name));
}

// Buffers that some checkpoints saved and that follow from the configuration.
bool is_ignorable(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq");
}

class HfImporter : public Importer {
 public:
  explicit HfImporter(HfFolder folder) : folder_(std::move(folder)) {
    model_.notes = folder_.notes;
    const Json config_json =
        Json::parse(folder_.texts["config.json"], folder_.path + "/config.json");
    SourceConfig config = read_hf_config(config_json, folder_.path + "/config.json", model_.notes);
    config.name = folder_.name.substr(folder_.name.rfind('/') + 1);
    check_config(config, folder_.path + "/config.json");
    collect_tensors(config);
    check_tensors(config, model_.tensors, folder_.path);
    HfTokens tokens = read_hf_tokens(folder_.texts, config_json, config.vocabulary_size,
                                     folder_.path, model_.notes);
    model_.kind = "huggingface";
    model_.name = folder_.name;
    model_.config = config.to_json();
    model_.generation = std::move(tokens.generation);
    model_.tokenizer_json = std::move(tokens.tokenizer_json);
    model_.special_tokens = std::move(tokens.special_tokens);
    model_.chat_template = std::move(tokens.chat_template);
    model_.chat_template_source = std::move(tokens.chat_template_source);
    folder_.texts.clear();
    for (const SourceFile& shard : folder_.shards) shard.check();
  }

  const ImportedModel& model() const override { return model_; }
  Hash128 hash(const Progress& progress) const override {
    return hash_files(folder_.shards, progress);
  }
  uint64_t source_bytes() const override { return total_bytes(folder_.shards); }

  void read_floats(size_t index, int64_t first, int64_t rows, float* out) const override {
    const SourceTensor& tensor = model_.tensors.at(index);
    check_rows(tensor, first, rows);
    const Place& place = places_[index];
    place.type->widen(place.data.data() + first * tensor.cols * place.type->bytes,
                      rows * tensor.cols, out);
    folder_.shards[place.shard].check();
  }

  void read_grid(size_t index, int64_t, int64_t, GridRows&) const override {
    throw Error(ErrorCode::kUsage, fmt::format("tensor '{}' of type {} is not read on a grid",
                                               model_.tensors.at(index).source_name,
                                               model_.tensors[index].source_type));
  }

 private:
  // Where the rows of tensors[i] are.
  struct Place {
    size_t shard;
    const FloatType* type;
    Bytes data;
  };

  // Which shard has which tensor, by the index; nothing when there is none.
  std::optional<std::map<std::string, std::string>> read_index() const {
    const auto text = folder_.texts.find("model.safetensors.index.json");
    if (text == folder_.texts.end()) return std::nullopt;
    const std::string what = folder_.path + "/" + text->first;
    const Json json = Json::parse(text->second, what);
    std::map<std::string, std::string> index;
    for (const auto& [tensor, shard] : json["weight_map"].as_object(what + ": weight_map")) {
      index.emplace(tensor, shard.as_string(what + ": weight_map"));
    }
    return index;
  }

  void collect_tensors(const SourceConfig& config) {
    auto index = read_index();
    for (size_t i = 0; i < folder_.shards.size(); ++i) {
      const SourceFile& shard = folder_.shards[i];
      for (const SafeTensor& tensor :
           parse_safetensors(shard.bytes, folder_.path + "/" + shard.name)) {
        if (index) {
          const auto entry = index->find(tensor.name);
          if (entry == index->end() || entry->second != shard.name) {
            model_.notes.push_back(
                fmt::format("tensor '{}' of {} is not used: the index does not name it there",
                            tensor.name, shard.name));
            continue;
          }
          index->erase(entry);
        }
        add_tensor(tensor, i, config);
      }
    }
    if (index && !index->empty()) {
      const auto& [tensor, shard] = *index->begin();
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}/model.safetensors.index.json: expected tensor '{}' in '{}', found none",
                      folder_.path, tensor, shard));
    }
  }

  void add_tensor(const SafeTensor& tensor, size_t shard, const SourceConfig& config) {
    const std::string what =
        fmt::format("{}/{}: tensor '{}'", folder_.path, folder_.shards[shard].name, tensor.name);
    const auto place = place_of_hf_name(tensor.name);
    const bool is_tied_head = place && place->role == Role::kHead && config.tied_embeddings;
    if (is_tied_head || is_ignorable(tensor.name)) {
      model_.notes.push_back(fmt::format("tensor '{}' is not used{}", tensor.name,
                                         is_tied_head ? ": tie_word_embeddings is set" : ""));
      return;
    }
    if (!place) {
      throw Error(ErrorCode::kUnsupported, what + " has no place in the models that are supported");
    }
    const FloatType& type = find_float_type(tensor.type, what);
    if (tensor.dims.empty() || tensor.dims.size() > 2) {
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}: expected one or two dimensions, found {}", what, tensor.dims.size()));
    }
    SourceTensor source;
    source.source_name = tensor.name;
    source.role = place->role;
    source.layer = place->layer;
    source.rows = tensor.dims.size() == 2 ? tensor.dims[0] : 1;
    source.cols = tensor.dims.back();
    source.source_type = tensor.type;
    model_.tensors.push_back(std::move(source));
    places_.push_back({shard, &type, tensor.data});
  }

  HfFolder folder_;
  std::vector<Place> places_;  // of model_.tensors
  ImportedModel model_;
};

}  // namespace

std::unique_ptr<Importer> import_huggingface(HfFolder folder) {
  return std::make_unique<HfImporter>(std::move(folder));
}

}  // namespace mica
