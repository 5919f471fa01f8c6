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

// Tensors that llama.cpp's converters wrote and that hold nothing the configuration does not say.
bool is_ignorable(std::string_view name) {
  return name.ends_with(".attn_rot_embd.weight");
}

// HF row `row` of a query or key projection lies at this row of a GGUF file: its converter turned
// each head's [2, E / 2] rows into [E / 2, 2], so that rotated pairs are neighbours.
int64_t permuted_row(int64_t row, int64_t head_size) {
  const int64_t in_head = row % head_size;
  const int64_t half = head_size / 2;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

class GgufImporter : public Importer {
 public:
  explicit GgufImporter(std::vector<SourceFile> files) : files_(std::move(files)) {
    std::vector<GgufFile> parts;
    for (const SourceFile& file : files_) parts.push_back(GgufFile::parse(file.bytes, file.name));
    check_parts(parts);
    collect_tensors(parts);
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
    const int64_t cols = tensor.cols;
    std::vector<uint8_t> codes;
    std::vector<float> scales;  // and minimums behind them
    const GgufType& type = *place.type;
    if (type.unpack) {
      codes.resize(cols);
      scales.resize(2 * (cols / type.grid.group));
    }
    const GridSlice slice{codes.data(), scales.data(), scales.data() + scales.size() / 2};
    for (int64_t i = 0; i < rows; ++i) {
      const std::byte* row = row_data(place, first + i, cols);
      if (type.unpack) {
        type.unpack(row, cols / type.block_weights, slice);
        grid_to_floats(type.grid, slice, cols, out + i * cols);
      } else {
        type.widen(row, cols, out + i * cols);
      }
    }
    if (place.permuted_cols) unpermute_vector(out, cols);
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
      place.type->unpack(row_data(place, first + i, tensor.cols),
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
    bool permuted_rows = false;  // of a matrix
    bool permuted_cols = false;  // of a bias
  };

  const std::byte* row_data(const Place& place, int64_t row, int64_t cols) const {
    const int64_t row_bytes = cols / place.type->block_weights * place.type->block_bytes;
    return place.data.data() +
           (place.permuted_rows ? permuted_row(row, head_size_) : row) * row_bytes;
  }

  void unpermute_vector(float* values, int64_t cols) const {
    const std::vector<float> stored(values, values + cols);
    for (int64_t i = 0; i < cols; ++i) values[i] = stored[permuted_row(i, head_size_)];
  }

  void collect_tensors(const std::vector<GgufFile>& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
      for (const GgufTensor& tensor : parts[i].tensors()) {
        if (tensor.name == "rope_freqs.weight") {
          if (rope_freqs_)
            fail_invalid(parts[i].name(), "expected one tensor 'rope_freqs.weight', found two");
          rope_freqs_ = tensor;
        } else if (is_ignorable(tensor.name)) {
          model_.notes.push_back(fmt::format("tensor '{}' is not used", tensor.name));
        } else {
          add_tensor(tensor, i, parts[i].name());
        }
      }
    }
  }

  void add_tensor(const GgufTensor& tensor, size_t file, const std::string& file_name) {
    const std::string what = fmt::format("{}: tensor '{}'", file_name, tensor.name);
    const auto role = place_of_gguf_name(tensor.name);
    if (!role) {
      throw Error(ErrorCode::kUnsupported, what + " has no place in the models that are supported");
    }
    if (tensor.dims[2] != 1 || tensor.dims[3] != 1) {
      fail_invalid(what,
                   fmt::format("expected one or two dimensions, found [{}, {}, {}, {}]",
                               tensor.dims[3], tensor.dims[2], tensor.dims[1], tensor.dims[0]));
    }
    SourceTensor source;
    source.source_name = tensor.name;
    source.role = role->role;
    source.layer = role->layer;
    source.rows = static_cast<int64_t>(tensor.dims[1]);
    source.cols = static_cast<int64_t>(tensor.dims[0]);
    source.source_type = tensor.type->name;
    // Vectors are only ever read as floats.
    if (tensor.type->offers_grid && source.rows > 1) source.grid = tensor.type->grid;
    model_.tensors.push_back(std::move(source));
    places_.push_back({file, tensor.type, tensor.data});
  }

  void describe(const GgufFile& file) {
    const std::string& name = file.name();
    SourceConfig config = read_gguf_config(file, rope_freqs_ ? &*rope_freqs_ : nullptr);
    config.tied_embeddings = true;
    for (const SourceTensor& tensor : model_.tensors) {
      if (tensor.role == Role::kTokenEmbedding) config.vocabulary_size = tensor.rows;
      if (tensor.role == Role::kHead) config.tied_embeddings = false;
    }
    if (config.vocabulary_size == 0)
      fail_invalid(name, "expected a tensor 'token_embd.weight', found none");
    const auto vocabulary = static_cast<uint64_t>(config.vocabulary_size);
    const std::string vocabulary_key = config.architecture + ".vocab_size";
    checked_range(file.unsigned_integer(vocabulary_key).value_or(vocabulary), vocabulary,
                  vocabulary, file.what(vocabulary_key));
    check_config(config, name);
    check_tensors(config, model_.tensors, name);
    head_size_ = config.head_size;
    mark_permuted(config.architecture);

    GgufTokenizer tokenizer = read_gguf_tokenizer(file);
    checked_range(tokenizer.tokens, 0, vocabulary,
                  file.what("tokenizer.ggml.tokens") + ": number of tokens");
    model_.kind = "gguf";
    model_.name = name.substr(name.rfind('/') + 1);
    model_.config = config.to_json();
    model_.generation = read_gguf_generation(file);
    model_.tokenizer_json = std::move(tokenizer.tokenizer_json);
    model_.special_tokens = std::move(tokenizer.special_tokens);
    model_.notes.insert(model_.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
    if (const auto chat_template = file.string("tokenizer.chat_template")) {
      model_.chat_template = *chat_template;
      model_.chat_template_source = "gguf tokenizer.chat_template";
    }
  }

  void mark_permuted(std::string_view architecture) {
    if (!permutes_query_and_key(architecture)) return;
    for (size_t i = 0; i < places_.size(); ++i) {
      const Role role = model_.tensors[i].role;
      places_[i].permuted_rows = role == Role::kAttnQ || role == Role::kAttnK;
      places_[i].permuted_cols = role == Role::kAttnQBias || role == Role::kAttnKBias;
    }
  }

  std::vector<SourceFile> files_;
  std::vector<Place> places_;  // of model_.tensors
  std::optional<GgufTensor> rope_freqs_;
  int64_t head_size_ = 0;
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
