#include "lib/runtime/export_hf.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

#include "formats/hf_writer.h"
#include "lib/base/error.h"
#include "lib/base/half.h"
#include "lib/base/output_file.h"
#include "lib/base/stopwatch.h"
#include "lib/model/architecture.h"
#include "lib/model/config.h"
#include "lib/runtime/mica_source.h"
#include "lib/text/image_to_json.h"
#include "lib/text/tokenizer_image.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChunkWeights = int64_t{1} << 22;

// A folder under a temporary name beside its own, removed again unless it is committed.
class OutputFolder {
 public:
  explicit OutputFolder(std::string path) : path_(std::move(path)) {
    while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
    const fs::path name = fs::path(path_).filename();
    temporary_ = fs::path(path_).replace_filename(
        fmt::format(".{}.tmp-{}", name.string().substr(0, 200), getpid()));
    std::error_code error;
    fs::remove_all(temporary_, error);  // of a process of the same number that was killed
    if (!fs::create_directory(temporary_, error)) fail("create", error);
  }
  ~OutputFolder() {
    std::error_code ignored;
    if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  }
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  std::string file(const std::string& name) const { return temporary_ / name; }
  void put(const std::string& name, std::string_view text) const {
    OutputFile out(file(name));
    out.write(as_bytes(text));
    out.commit();
  }
  void commit() {
    std::error_code error;
    fs::rename(temporary_, path_, error);  // over an empty folder at most
    if (error) fail("rename into place", error);
    temporary_.clear();
    sync_folder(path_);
  }

 private:
  [[noreturn]] void fail(const char* action, const std::error_code& error) const {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: cannot {}: {}", path_, action, error.message()));
  }

  std::string path_;
  fs::path temporary_;
};

void require_free_name(const std::string& folder) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(folder, ignored))) return;
  if (fs::is_directory(folder, ignored) && fs::is_empty(folder, ignored)) return;
  throw Error(
      ErrorCode::kUsage,
      fmt::format("{}: expected a new name or an empty folder, found one with contents or a "
                  "file; nothing is overwritten",
                  folder));
}

// Tensors of one weight file, wider elements first so that all are aligned.
using Shard = std::vector<const HfTensor*>;

std::vector<Shard> divide(const std::vector<HfTensor>& tensors, uint64_t most_bytes) {
  std::vector<Shard> shards(1);
  uint64_t bytes = 0;
  for (const HfTensor& tensor : tensors) {
    if (!shards.back().empty() && tensor.bytes() > most_bytes - std::min(bytes, most_bytes)) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&tensor);
    bytes += tensor.bytes();
  }
  for (Shard& shard : shards) {
    std::ranges::stable_sort(shard, {},
                             [](const HfTensor* tensor) { return tensor->type != "F32"; });
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

class Exporter {
 public:
  Exporter(const Importer& importer, const Engine& engine, const Progress& progress,
           uint64_t total_bytes)
      : importer_(importer), engine_(engine), progress_(progress), total_bytes_(total_bytes) {}

  void report_progress(uint64_t bytes) {
    done_bytes_ += bytes;
    if (!progress_ || progress_(done_bytes_, total_bytes_)) return;
    throw Error(ErrorCode::kInterrupted, "conversion interrupted; nothing was changed");
  }

  void write_shard(const Shard& shard, const std::string& path) {
    OutputFile out(path);
    out.write(as_bytes(safetensors_header(shard)));
    for (const HfTensor* tensor : shard) {
      for (const RowPart& part : tensor->parts) write_part(*tensor, part, out);
    }
    out.commit();
  }

 private:
  // A vector's elements are its rows.
  void write_part(const HfTensor& tensor, const RowPart& part, OutputFile& out) {
    const SourceTensor& source = importer_.model().tensors[part.source];
    if (source.rows == 1) {
      floats_.resize(static_cast<size_t>(source.cols));
      importer_.read_floats(part.source, 0, 1, floats_.data());
      const bool whole = part.rows == 1;
      return write_floats(tensor,
                          {floats_.data() + (whole ? 0 : part.first),
                           static_cast<size_t>(whole ? source.cols : part.rows)},
                          out);
    }
    const int64_t chunk =
        std::max<int64_t>(kPanelRows, kChunkWeights / source.cols / kPanelRows * kPanelRows);
    for (int64_t row = part.first; row < part.first + part.rows; row += chunk) {
      const int64_t rows = std::min(chunk, part.first + part.rows - row);
      floats_.resize(static_cast<size_t>(rows * source.cols));
      read_rows(part.source, row, rows, source.cols);
      write_floats(tensor, floats_, out);
    }
  }

  void read_rows(size_t source, int64_t first, int64_t rows, int64_t cols) {
    const auto lock = engine_.lock();
    const int64_t units = (rows + kPanelRows - 1) / kPanelRows;
    engine_.pool().share(units, 1, [&](int, Range part) {
      const int64_t row = part.begin * kPanelRows;
      const int64_t count = std::min(rows, part.end * kPanelRows) - row;
      importer_.read_floats(source, first + row, count, &floats_[row * cols]);
    });
  }

  void write_floats(const HfTensor& tensor, std::span<float> values, OutputFile& out) {
    if (tensor.offset != 0) {
      for (float& value : values) value -= tensor.offset;
    }
    if (tensor.type == "F32") {
      out.write(std::as_bytes(values));
      return report_progress(values.size_bytes());
    }
    halves_.resize(values.size());
    const bool is_f16 = tensor.type == "F16";
    for (size_t i = 0; i < values.size(); ++i) {
      halves_[i] = is_f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    }
    out.write(std::as_bytes(std::span(halves_)));
    report_progress(halves_.size() * sizeof(uint16_t));
  }

  const Importer& importer_;
  const Engine& engine_;
  const Progress& progress_;
  uint64_t total_bytes_;
  uint64_t done_bytes_ = 0;
  std::vector<float> floats_;
  std::vector<uint16_t> halves_;
};

// The tokenizer.json, and a note where the source's tokenizer does more than it can say.
Json write_tokenizer(const ImportedModel& model, ConvertReport& report) {
  std::vector<std::byte> built;
  if (model.tokenizer_image.empty())
    built = build_tokenizer_image(model.tokenizer_json, model.name);
  const Bytes image = built.empty() ? model.tokenizer_image : Bytes(built);
  Json json = tokenizer_json_of_image(image, model.name);
  const std::vector<std::byte> again = build_tokenizer_image(json, model.name);
  if (!std::ranges::equal(image, again)) {
    report.notes.push_back(
        "tokenizer.json: of a SentencePiece model, as transformers converts it: where two merges "
        "are equally good, ids may differ");
  }
  return json;
}

void write_texts(const ImportedModel& model, const std::vector<HfTensor>& tensors,
                 const OutputFolder& folder, ConvertReport& report) {
  const auto put = [&](const char* name, const Json& json) {
    folder.put(name, json.dump(2) + "\n");
  };
  put("config.json", hf_config_json(model, tensors));
  put("generation_config.json", hf_generation_json(model));
  const Json tokenizer = write_tokenizer(model, report);
  folder.put("tokenizer.json", tokenizer.dump());
  put("tokenizer_config.json", hf_tokenizer_config_json(model, tokenizer));
  if (!model.chat_template.empty()) folder.put("chat_template.jinja", model.chat_template);
}

void write_index(const std::vector<Shard>& shards, uint64_t bytes, const OutputFolder& folder) {
  Json map = Json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    for (const HfTensor* tensor : shards[i]) map[tensor->name] = shard_name(i, shards.size());
  }
  const Json index = Json::object(
      {{"metadata", Json::object({{"total_size", Json(bytes)}})}, {"weight_map", std::move(map)}});
  folder.put("model.safetensors.index.json", index.dump(2) + "\n");
}

ConvertedTensor describe(const HfTensor& tensor, const ImportedModel& model) {
  const SourceTensor& source = model.tensors[tensor.parts[0].source];
  ConvertedTensor result{.name = tensor.name,
                         .source_type = source.source_type,
                         .dtype = tensor.type == "F32"   ? "f32"
                                  : tensor.type == "F16" ? "f16"
                                                         : "bf16",
                         .in_layer = source.layer != kNoLayer,
                         .rows = tensor.dims.size() == 1 ? 1 : uint64_t(tensor.dims[0]),
                         .cols = static_cast<uint64_t>(tensor.dims.back()),
                         .bytes = tensor.bytes()};
  result.relative_error = std::nan("");  // not measured: bf16 rounds to 8 bits
  return result;
}

}  // namespace

ConvertReport export_to_hf(const std::string& source, const std::string& folder,
                           const ExportOptions& options, const Engine& engine,
                           const Progress& progress) {
  const Stopwatch stopwatch;
  const std::unique_ptr<Importer> importer = open_any_source(source, engine.log_sink());
  const ImportedModel& model = importer->model();
  find_architecture(parse_model_config(model.config, model.name).architecture, model.name);
  const std::vector<HfTensor> tensors = hf_tensors(model);
  ConvertReport report{.output = folder, .notes = model.notes};
  for (const HfTensor& tensor : tensors) {
    report.tensors.push_back(describe(tensor, model));
    report.bytes += tensor.bytes();
  }
  summarise(report);
  require_free_name(folder);
  if (options.dry_run) {
    (void)hf_config_json(model, tensors);
    (void)write_tokenizer(model, report);
  } else {
    check_free_space(folder, report.bytes);
    OutputFolder out(folder);
    write_texts(model, tensors, out, report);
    const std::vector<Shard> shards = divide(tensors, options.shard_bytes);
    Exporter exporter(*importer, engine, progress, report.bytes + importer->source_bytes());
    for (size_t i = 0; i < shards.size(); ++i) {
      exporter.write_shard(shards[i], out.file(shard_name(i, shards.size())));
    }
    if (shards.size() > 1) write_index(shards, report.bytes, out);
    // Says whether the source is damaged, before its copy is there.
    (void)importer->hash([&, before = uint64_t{0}](uint64_t done, uint64_t) mutable {
      exporter.report_progress(done - before);
      before = done;
      return true;
    });
    out.commit();
  }
  report.seconds = stopwatch.seconds();
  return report;
}

}  // namespace mica
