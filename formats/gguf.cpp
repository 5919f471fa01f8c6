#include "formats/gguf.h"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

#include "formats/gguf_config.h"
#include "formats/gguf_file.h"
#include "formats/gguf_tokenizer.h"
#include "formats/invalid.h"
#include "lib/base/error.h"

namespace mica {
namespace {

constexpr uint64_t kMaxParts = 9999;

std::string part_suffix(uint64_t number, uint64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

uint64_t part_count(const GgufFile& file) {
  return checked_range(file.unsigned_integer("split.count").value_or(1), 1, kMaxParts,
                       file.what("split.count"));
}

// Keys come from the first part; each part says which one it is.
void check_parts(const std::vector<GgufFile>& parts) {
  uint64_t tensors = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    checked_range(part_count(parts[i]), parts.size(), parts.size(), parts[i].what("split.count"));
    checked_range(parts[i].unsigned_integer("split.no").value_or(0), i, i,
                  parts[i].what("split.no"));
    tensors += parts[i].tensors().size();
  }
  if (const auto count = parts[0].unsigned_integer("split.tensors.count")) {
    checked_range(tensors, *count, *count,
                  parts[0].what("split.tensors.count") + ": tensors in all parts");
  }
}

// Read with the configuration.
constexpr std::string_view kRopeFactors = "rope_freqs.weight";
constexpr std::string_view kRopeShortFactors = "rope_factors_short.weight";
constexpr std::string_view kRopeLongFactors = "rope_factors_long.weight";

bool is_rope_tensor(std::string_view name) {
  return name == kRopeFactors || name == kRopeShortFactors || name == kRopeLongFactors;
}

// Tensors that llama.cpp's converters wrote and that hold nothing the configuration does not say.
bool is_ignorable(std::string_view name) {
  return name.ends_with(".attn_rot_embd.weight");
}

class GgufImporter : public Importer {
 public:
  explicit GgufImporter(std::vector<SourceFile> files) : files_(std::move(files)) {
    std::vector<GgufFile> parts;
    for (const SourceFile& file : files_) parts.push_back(GgufFile::parse(file.bytes, file.name));
    check_parts(parts);
    read_model(parts);
    collect_tensors(parts);
    check_tensors(config_, model_.tensors, parts[0].name());
    describe(parts[0]);
    for (const SourceFile& file : files_) file.check();
  }

  const ImportedModel& model() const override { return model_; }
  Hash128 hash(const Progress& progress) const override { return hash_files(files_, progress); }
  uint64_t source_bytes() const override { return total_bytes(files_); }

  void read_floats(size_t index, int64_t first, int64_t rows, float* out) const override {
    const SourceTensor& tensor = model_.tensors.at(index);
    check_rows(tensor, first, rows);
    const Place& place = places_[index];
    if (place.is_whole) {
      for (int64_t i = 0; i < rows; ++i) {
        read_row(place, place.map(first + i), tensor.cols, out + i * tensor.cols);
      }
    } else {
      read_vector_part(place, tensor.cols, out);
    }
    files_[place.file].check();
  }

  void read_grid(size_t index, int64_t first, int64_t rows, GridRows& out) const override {
    const SourceTensor& tensor = model_.tensors.at(index);
    check_rows(tensor, first, rows);
    const Place& place = places_[index];
    if (tensor.grid.bits == 0) {
      throw Error(ErrorCode::kUsage, fmt::format("tensor '{}' of type {} is not read on a grid",
                                                 tensor.source_name, tensor.source_type));
    }
    const int64_t groups = tensor.cols / tensor.grid.group;
    out.kind = tensor.grid;
    out.rows = rows;
    out.cols = tensor.cols;
    out.codes.resize(rows * tensor.cols);
    out.scales.resize(rows * groups);
    out.minimums.resize(tensor.grid.has_minimum ? rows * groups : 0);
    for (int64_t i = 0; i < rows; ++i) {
      place.type->unpack(row_data(place, place.map(first + i), tensor.cols),
                         tensor.cols / place.type->block_weights,
                         {out.codes.data() + i * tensor.cols, out.scales.data() + i * groups,
                          tensor.grid.has_minimum ? out.minimums.data() + i * groups : nullptr});
    }
    files_[place.file].check();
  }

 private:
  // Where the rows of tensors[i] are.
  struct Place {
    size_t file;
    const GgufType* type;
    Bytes data;
    RowMap map;            // of rows, or of a vector's elements
    bool is_whole = true;  // false: some elements of a vector of `elements`
    int64_t elements = 0;
  };

  static const std::byte* row_data(const Place& place, int64_t row, int64_t cols) {
    return place.data.data() + row * (cols / place.type->block_weights * place.type->block_bytes);
  }

  static void read_row(const Place& place, int64_t row, int64_t cols, float* out) {
    const GgufType& type = *place.type;
    const std::byte* data = row_data(place, row, cols);
    if (!type.unpack) return type.widen(data, cols, out);
    std::vector<uint8_t> codes(static_cast<size_t>(cols));
    std::vector<float> scales(static_cast<size_t>(2 * (cols / type.grid.group)));
    // The scales, and minimums behind them.
    const GridSlice slice{codes.data(), scales.data(), scales.data() + scales.size() / 2};
    type.unpack(data, cols / type.block_weights, slice);
    grid_to_floats(type.grid, slice, cols, out);
  }

  static void read_vector_part(const Place& place, int64_t cols, float* out) {
    std::vector<float> stored(static_cast<size_t>(place.elements));
    read_row(place, 0, place.elements, stored.data());
    for (int64_t i = 0; i < cols; ++i) out[i] = stored[static_cast<size_t>(place.map(i))];
  }

  // The tensor of this name in any part, which is not one of the model's own.
  static const GgufTensor* find_rope_tensor(const std::vector<GgufFile>& parts,
                                            std::string_view name) {
    const GgufTensor* found = nullptr;
    for (const GgufFile& part : parts) {
      for (const GgufTensor& tensor : part.tensors()) {
        if (tensor.name != name) continue;
        if (found)
          fail_invalid(part.name(), fmt::format("expected one tensor '{}', found two", name));
        found = &tensor;
      }
    }
    return found;
  }

  void read_model(const std::vector<GgufFile>& parts) {
    GgufConfig read = read_gguf_config(parts[0],
                                       {.factors = find_rope_tensor(parts, kRopeFactors),
                                        .short_factors = find_rope_tensor(parts, kRopeShortFactors),
                                        .long_factors = find_rope_tensor(parts, kRopeLongFactors)},
                                       model_.notes);
    family_ = read.family;
    config_ = std::move(read.config);
    config_.tied_embeddings = true;
    for (const GgufFile& part : parts) {
      for (const GgufTensor& tensor : part.tensors()) {
        const auto role = role_of_gguf_name(local_gguf_name(tensor.name));
        if (role == Role::kTokenEmbedding) {
          config_.vocabulary_size = static_cast<int64_t>(tensor.dims[1]);
        }
        if (role == Role::kHead) config_.tied_embeddings = false;
      }
    }
    if (config_.vocabulary_size == 0) {
      fail_invalid(parts[0].name(), "expected a tensor 'token_embd.weight', found none");
    }
    const auto vocabulary = static_cast<uint64_t>(config_.vocabulary_size);
    const std::string key = fmt::format("{}.vocab_size", family_->gguf_architecture);
    checked_range(parts[0].unsigned_integer(key).value_or(vocabulary), vocabulary, vocabulary,
                  parts[0].what(key));
    check_config(config_, parts[0].name());
  }

  void collect_tensors(const std::vector<GgufFile>& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
      for (const GgufTensor& tensor : parts[i].tensors()) {
        if (is_rope_tensor(tensor.name)) continue;
        if (is_ignorable(tensor.name)) {
          model_.notes.push_back(fmt::format("tensor '{}' is not used", tensor.name));
        } else {
          add_tensor(tensor, i, fmt::format("{}: tensor '{}'", parts[i].name(), tensor.name));
        }
      }
    }
  }

  void add_tensor(const GgufTensor& tensor, size_t file, const std::string& what) {
    const auto rows = static_cast<int64_t>(tensor.dims[1]);
    const auto cols = static_cast<int64_t>(tensor.dims[0]);
    const bool is_vector = rows == 1;
    const auto split =
        parts_of_gguf_tensor(*family_, config_, tensor.name, is_vector ? cols : rows, what);
    if (!split) {
      throw Error(ErrorCode::kUnsupported, what + " has no place in the models that are supported");
    }
    if (tensor.dims[2] != 1 || tensor.dims[3] != 1) {
      fail_invalid(what,
                   fmt::format("expected one or two dimensions, found [{}, {}, {}, {}]",
                               tensor.dims[3], tensor.dims[2], tensor.dims[1], tensor.dims[0]));
    }
    for (const TensorPart& part : split->parts) {
      SourceTensor source;
      source.source_name = tensor.name;
      source.role = part.role;
      source.layer = split->layer;
      source.rows = is_vector ? 1 : part.rows;
      source.cols = is_vector ? part.rows : cols;
      source.source_type = tensor.type->name;
      // Vectors are only ever read as floats.
      if (tensor.type->offers_grid && !is_vector) source.grid = tensor.type->grid;
      model_.tensors.push_back(std::move(source));
      places_.push_back({.file = file,
                         .type = tensor.type,
                         .data = tensor.data,
                         .map = part.map,
                         .is_whole = !is_vector || part.map == RowMap{},
                         .elements = cols});
    }
  }

  void describe(const GgufFile& file) {
    const std::string& name = file.name();
    GgufTokenizer tokenizer = read_gguf_tokenizer(file);
    checked_range(tokenizer.tokens, 0, static_cast<uint64_t>(config_.vocabulary_size),
                  file.what("tokenizer.ggml.tokens") + ": number of tokens");
    model_.kind = "gguf";
    model_.name = name.substr(name.rfind('/') + 1);
    model_.config = config_.to_json();
    model_.generation = read_gguf_generation(file);
    model_.tokenizer_json = std::move(tokenizer.tokenizer_json);
    model_.special_tokens = std::move(tokenizer.special_tokens);
    model_.notes.insert(model_.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
    if (const auto chat_template = file.string("tokenizer.chat_template")) {
      model_.chat_template = *chat_template;
      model_.chat_template_source = "gguf tokenizer.chat_template";
    }
  }

  std::vector<SourceFile> files_;
  std::vector<Place> places_;  // of model_.tensors
  const Family* family_ = nullptr;
  SourceConfig config_;
  ImportedModel model_;
};

// "model-00002-of-00003.gguf" -> "model", when it is that part of that many.
std::string split_stem(const std::string& path, const GgufFile& file, uint64_t count) {
  const uint64_t number = file.unsigned_integer("split.no").value_or(0);
  const std::string suffix = number < count ? part_suffix(number, count) : "";
  if (suffix.empty() || !path.ends_with(suffix)) {
    fail_invalid(path,
                 fmt::format("expected a name that ends in '{}', since the file is part {} of {}",
                             part_suffix(number, count), number + 1, count));
  }
  return path.substr(0, path.size() - suffix.size());
}

}  // namespace

std::unique_ptr<Importer> import_gguf(std::vector<SourceFile> parts) {
  return std::make_unique<GgufImporter>(std::move(parts));
}

std::unique_ptr<Importer> open_gguf(const std::string& path) {
  std::vector<SourceFile> files;
  files.push_back(SourceFile::open(path));
  const GgufFile file = GgufFile::parse(files[0].bytes, path);
  const uint64_t count = part_count(file);
  if (count > 1) {
    const std::string stem = split_stem(path, file, count);
    files.clear();
    for (uint64_t i = 0; i < count; ++i)
      files.push_back(SourceFile::open(stem + part_suffix(i, count)));
  }
  return import_gguf(std::move(files));
}

}  // namespace mica
