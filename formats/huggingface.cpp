#include "formats/huggingface.h"

#include <algorithm>
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

// Buffers that some checkpoints saved and that follow from the configuration: frequencies, and
// GPT-NeoX's masks.
bool is_ignorable(std::string_view name) {
  return name.ends_with("rotary_emb.inv_freq") || name.ends_with(".attention.bias") ||
         name.ends_with(".attention.masked_bias");
}

// What quantizers put in the place of a weight, for checkpoints whose config.json does not tell.
void refuse_quantized(std::string_view name, const std::string& what) {
  constexpr std::pair<std::string_view, const char*> kEndings[] = {
      {".qweight", "GPTQ or AWQ"},
      {".qzeros", "GPTQ or AWQ"},
      {".g_idx", "GPTQ"},
      {".scales", "GPTQ, AWQ or MLX"},
      {".biases", "MLX"},
      {".weight.absmax", "bitsandbytes"},
      {".SCB", "bitsandbytes"},
      {".weight_packed", "compressed-tensors"},
      {".weight_scale", "FP8 or compressed-tensors"},
      {".weight_scale_inv", "FP8"},
      {".input_scale", "FP8 or ModelOpt"}};
  for (const auto& [ending, method] : kEndings) {
    if (!name.ends_with(ending)) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: a checkpoint quantized by {} is not supported; expected the "
                            "unquantized model, or a GGUF file",
                            what, method));
  }
}

class HfImporter : public Importer {
 public:
  explicit HfImporter(HfFolder folder) : folder_(std::move(folder)) {
    model_.notes = folder_.notes;
    const Json config_json =
        Json::parse(folder_.texts["config.json"], folder_.path + "/config.json");
    HfConfig read = read_hf_config(config_json, folder_.path + "/config.json", model_.notes);
    family_ = read.family;
    config_ = std::move(read.config);
    config_.name = folder_.name.substr(folder_.name.rfind('/') + 1);
    check_config(config_, folder_.path + "/config.json");
    collect_tensors();
    check_tensors(config_, model_.tensors, folder_.path);
    HfTokens tokens = read_hf_tokens(folder_.texts, config_json, config_.vocabulary_size,
                                     folder_.path, model_.notes);
    model_.kind = "huggingface";
    model_.name = folder_.name;
    model_.config = config_.to_json();
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
    if (place.map == RowMap{}) {
      read_rows(place, first, rows, tensor.cols, out);
    } else if (!place.is_vector) {
      for (int64_t i = 0; i < rows; ++i) {
        read_rows(place, place.map(first + i), 1, tensor.cols, out + i * tensor.cols);
      }
    } else {
      for (int64_t i = 0; i < tensor.cols; ++i) read_rows(place, place.map(i), 1, 1, out + i);
    }
    if (place.offset != 0) {
      for (int64_t i = 0; i < rows * tensor.cols; ++i) out[i] += place.offset;
    }
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
    RowMap map;  // of rows, or of a vector's elements
    bool is_vector;
    float offset;  // added to each weight
  };

  static void read_rows(const Place& place, int64_t first, int64_t rows, int64_t cols, float* out) {
    place.type->widen(place.data.data() + first * cols * place.type->bytes, rows * cols, out);
  }

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

  void collect_tensors() {
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
        add_tensor(tensor, i);
      }
    }
    if (left_out_ > 0) {
      model_.notes.push_back(fmt::format(
          "{} tensors of the model's vision part are left out: only its text part is run",
          left_out_));
    }
    if (index && !index->empty()) {
      const auto& [tensor, shard] = *index->begin();
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}/model.safetensors.index.json: expected tensor '{}' in '{}', found none",
                      folder_.path, tensor, shard));
    }
  }

  void add_tensor(const SafeTensor& tensor, size_t shard) {
    const auto begins = [&](std::string_view start) { return tensor.name.starts_with(start); };
    if (std::any_of(family_->hf_left_out.begin(), family_->hf_left_out.end(), begins)) {
      left_out_ += 1;
      return;
    }
    const std::string what =
        fmt::format("{}/{}: tensor '{}'", folder_.path, folder_.shards[shard].name, tensor.name);
    refuse_quantized(tensor.name, what);
    const bool is_vector = tensor.dims.size() == 1;
    const int64_t rows = tensor.dims.empty() ? 0 : tensor.dims[0];
    const auto split = parts_of_hf_tensor(*family_, config_, tensor.name, rows, what);
    const bool is_tied_head =
        split && split->parts[0].role == Role::kHead && config_.tied_embeddings;
    if (is_tied_head || is_ignorable(tensor.name)) {
      model_.notes.push_back(fmt::format("tensor '{}' is not used{}", tensor.name,
                                         is_tied_head ? ": tie_word_embeddings is set" : ""));
      return;
    }
    if (!split) {
      throw Error(ErrorCode::kUnsupported, what + " has no place in the models that are supported");
    }
    const FloatType& type = find_float_type(tensor.type, what);
    if (tensor.dims.empty() || tensor.dims.size() > 2) {
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}: expected one or two dimensions, found {}", what, tensor.dims.size()));
    }
    for (const TensorPart& part : split->parts) {
      SourceTensor source;
      source.source_name = tensor.name;
      source.role = part.role;
      source.layer = split->layer;
      source.rows = is_vector ? 1 : part.rows;
      source.cols = is_vector ? part.rows : tensor.dims[1];
      source.source_type = tensor.type;
      model_.tensors.push_back(std::move(source));
      places_.push_back({.shard = shard,
                         .type = &type,
                         .data = tensor.data,
                         .map = part.map,
                         .is_vector = is_vector,
                         .offset = is_norm(part.role) ? family_->hf_norm_offset : 0});
    }
  }

  const Family* family_ = nullptr;
  SourceConfig config_;
  int left_out_ = 0;  // tensors of parts that are not run
  HfFolder folder_;
  std::vector<Place> places_;  // of model_.tensors
  ImportedModel model_;
};

}  // namespace

std::unique_ptr<Importer> import_huggingface(HfFolder folder) {
  return std::make_unique<HfImporter>(std::move(folder));
}

}  // namespace mica
