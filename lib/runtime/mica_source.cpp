#include "lib/runtime/mica_source.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "formats/float_rows.h"
#include "formats/mica_layout.h"
#include "formats/source_config.h"
#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

class MicaImporter : public Importer {
 public:
  explicit MicaImporter(MicaFile file) : file_(std::move(file)) {
    const Json& metadata = file_.metadata();
    model_.kind = "mica";
    model_.name = std::filesystem::path(file_.path()).filename();
    model_.origin = metadata["source"];
    model_.config = metadata["model"];
    model_.generation = metadata["generation"];
    model_.special_tokens =
        metadata["special_tokens"].is_null() ? Json::object() : metadata["special_tokens"];
    model_.tokenizer_image = file_.tokenizer_image();
    read_text(metadata, "chat_template", model_.chat_template);
    read_text(metadata, "chat_template_source", model_.chat_template_source);
    for (const TensorRecord& record : file_.tensors()) add_tensor(record);
  }

  const ImportedModel& model() const override { return model_; }
  uint64_t source_bytes() const override { return file_.file_bytes(); }

  void read_floats(size_t index, int64_t first, int64_t rows, float* out) const override {
    check_rows(model_.tensors.at(index), first, rows);
    const TensorRecord& record = file_.tensors()[index];
    const auto cols = static_cast<int64_t>(record.cols);
    if (record.dtype.layout == TensorLayout::kPanels) {
      decode_panels(record, first, rows, out);
    } else {
      const std::byte* from = file_.data(record).data() + first * record.slab_stride;
      const auto widen = record.dtype == kF32   ? widen_f32
                         : record.dtype == kF16 ? widen_f16
                                                : widen_bf16;
      widen(from, rows * cols, out);
    }
    file_.check();
  }

  void read_grid(size_t index, int64_t, int64_t, GridRows&) const override {
    throw Error(ErrorCode::kUsage, fmt::format("tensor '{}' is not read on a grid",
                                               model_.tensors.at(index).source_name));
  }

  Bytes stored_bytes(size_t index) const override { return file_.data(file_.tensors()[index]); }

  // Of the whole file, whose own checksums must agree.
  Hash128 hash(const Progress& progress) const override {
    const std::vector<std::string> damaged = file_.find_damage(progress);
    if (!damaged.empty()) {
      throw Error(
          ErrorCode::kVerification,
          fmt::format("{}: expected the checksums of the file, found other bytes in {}{}",
                      file_.path(), damaged.front(), damaged.size() > 1 ? " and more" : ""));
    }
    return file_.header_hash();
  }

 private:
  static void read_text(const Json& metadata, const char* key, std::string& text) {
    const Json& found = metadata[key];
    if (!found.is_null()) text = found.as_string(key);
  }

  void add_tensor(const TensorRecord& record) {
    const std::string what = fmt::format("{}: tensor '{}'", file_.path(), record.name);
    const bool is_float = record.dtype == kF32 || record.dtype == kF16 || record.dtype == kBF16;
    if (!role_name(record.role) || (!is_float && !find_weight_type(record.dtype))) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: expected a role and a weight type known here, found role {} and "
                              "{}",
                              what, static_cast<int>(record.role), dtype_name(record.dtype)));
    }
    if (record.expert != kNoExpert) {
      throw Error(ErrorCode::kUnsupported, what + ": routed experts are not converted");
    }
    SourceTensor tensor;
    tensor.source_name = record.name;
    tensor.role = record.role;
    tensor.layer = record.layer;
    tensor.rows = static_cast<int64_t>(record.rows);
    tensor.cols = static_cast<int64_t>(record.cols);
    tensor.source_type = dtype_name(record.dtype);
    tensor.stored = record.dtype;
    tensor.relative_error = record.relative_error;
    model_.tensors.push_back(std::move(tensor));
  }

  void decode_panels(const TensorRecord& record, int64_t first, int64_t rows, float* out) const {
    const WeightType& type = *find_weight_type(record.dtype);
    const auto cols = static_cast<int64_t>(record.cols);
    std::vector<float> panel(static_cast<size_t>(kPanelRows * cols));
    for (int64_t row = first; row < first + rows;) {
      const int64_t in_panel = row % kPanelRows;
      const int64_t count = std::min(kPanelRows - in_panel, first + rows - row);
      const std::byte* slab = file_.data(record).data() + row / kPanelRows * record.slab_stride;
      type.decode(slab, cols, record.dtype.group, panel.data());
      out = std::copy_n(&panel[in_panel * cols], count * cols, out);
      row += count;
    }
  }

  MicaFile file_;
  ImportedModel model_;  // its tensors are those of the file, in its order
};

}  // namespace

std::unique_ptr<Importer> import_mica(MicaFile file) {
  return std::make_unique<MicaImporter>(std::move(file));
}

std::unique_ptr<Importer> open_any_source(const std::string& source, const LogSink& log) {
  std::error_code ignored;
  if (std::filesystem::is_regular_file(source, ignored)) {
    MappedFile file = MappedFile::open(source);
    if (begins_like_mica(file.bytes())) return import_mica(MicaFile::open(std::move(file)));
  }
  return open_source(source, log);
}

}  // namespace mica
