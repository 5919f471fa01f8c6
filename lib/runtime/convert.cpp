#include "lib/runtime/convert.h"

#include <filesystem>
#include <fmt/core.h>
#include <map>
#include <sys/statvfs.h>

#include "formats/importer.h"
#include "formats/mica_layout.h"
#include "formats/sniff.h"
#include "formats/writer.h"
#include "lib/base/error.h"
#include "lib/base/stopwatch.h"
#include "lib/model/architecture.h"
#include "lib/model/config.h"
#include "lib/runtime/convert_plan.h"
#include "lib/runtime/convert_tensor.h"
#include "lib/runtime/mica_source.h"
#include "lib/text/tokenizer_image.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

Json metadata_of(const ImportedModel& model, const ConvertOptions& options, const Hash128& hash,
                 const ConvertReport& report) {
  Json metadata = Json::object();
  metadata["model"] = model.config;
  metadata["special_tokens"] = model.special_tokens;
  if (!model.generation.is_null()) metadata["generation"] = model.generation;
  if (!model.chat_template.empty()) {
    metadata["chat_template"] = model.chat_template;
    metadata["chat_template_source"] = model.chat_template_source;
  }
  metadata["source"] =
      Json::object({{"kind", model.kind}, {"name", model.name}, {"xxh3_128", hash.hex()}});
  if (!model.origin.is_null()) metadata["source"]["source"] = model.origin;
  metadata["conversion"] = Json::object({{"program", "mica " MICA_VERSION},
                                         {"quant", options.quant},
                                         {"substitutions", Json::array(report.substitutions)},
                                         {"notes", Json::array(report.notes)}});
  return metadata;
}

// A conversion replaces its own results, not a part of the source or what else a name may hold.
void require_replaceable(const std::string& output) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(output, ignored)) return;
  const MappedFile file = MappedFile::open(output, LoadMode::kMap);
  if (file.bytes().empty() || begins_like_mica(file.bytes())) return;
  throw Error(ErrorCode::kUsage, output + ": expected a .mica file to replace or none, found " +
                                     std::string(describe_foreign_bytes(file.bytes())));
}

void check_destination(const std::string& source, const std::string& output, uint64_t bytes) {
  std::error_code ignored;
  if (std::filesystem::equivalent(source, output, ignored)) {
    throw Error(ErrorCode::kUsage, fmt::format("{}: the output is the source itself", output));
  }
  require_replaceable(output);
  check_free_space(output, bytes);
}

// Adds to the report what a tensor became.
ConvertedTensor describe(const SourceTensor& source, const TensorSpec& spec) {
  return {.name = tensor_name(spec.role, spec.layer, spec.expert),
          .source_type = source.source_type,
          .dtype = dtype_name(spec.dtype),
          .group = spec.dtype.group,
          .in_layer = spec.layer != kNoLayer,
          .rows = spec.rows,
          .cols = spec.cols,
          .bytes = tensor_bytes(spec.dtype, spec.rows, spec.cols, source.source_name)};
}

void report_progress(const Progress& progress, uint64_t done, uint64_t total) {
  if (!progress || progress(done, total)) return;
  throw Error(ErrorCode::kInterrupted, "conversion interrupted; nothing was changed");
}

void copy_tensor(Bytes bytes, FunctionRef<void(Bytes)> write) {
  constexpr size_t kPieceBytes = 1 << 24;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kPieceBytes))) {
    write(bytes.first(std::min(bytes.size(), kPieceBytes)));
  }
}

// Encodes and writes every tensor in the order of the file.
void write_tensors(const Importer& importer, const ConvertPlan& plan, MicaWriter& writer,
                   const Engine& engine, const Progress& progress, ConvertReport& report) {
  std::map<std::pair<Role, int>, const PlannedTensor*> by_place;
  for (const PlannedTensor& tensor : plan.tensors) {
    by_place[{tensor.spec.role, tensor.spec.layer}] = &tensor;
  }
  uint64_t done = 0;
  for (const TensorSpec& spec : writer.specs()) {
    const PlannedTensor& planned = *by_place.at({spec.role, spec.layer});
    const SourceTensor& source = importer.model().tensors[planned.source];
    const auto write = [&](Bytes bytes) {
      writer.write(bytes);
      done += bytes.size();
      report_progress(progress, done, writer.planned_bytes() + importer.source_bytes());
    };
    writer.begin_tensor();
    if (planned.copied) {
      copy_tensor(importer.stored_bytes(planned.source), write);
      writer.end_tensor(source.relative_error);
      report.tensors.push_back(describe(source, spec));
      report.tensors.back().relative_error = source.relative_error;
      continue;
    }
    TensorEncoder encoder(importer, planned, engine);
    encoder.run(write);
    writer.end_tensor(static_cast<float>(encoder.relative_error()));
    report.tensors.push_back(describe(source, spec));
    report.tensors.back().relative_error = encoder.relative_error();
    if (encoder.requantized() > 0) {
      report.substitutions.push_back(fmt::format(
          "{}: {} codes of {} re-quantized, since {} has no such value", report.tensors.back().name,
          encoder.requantized(), source.source_type, report.tensors.back().dtype));
    }
  }
}

}  // namespace

void check_free_space(const std::string& output, uint64_t bytes) {
  const std::filesystem::path folder = std::filesystem::absolute(output).parent_path();
  struct statvfs space {};
  // Where nothing can be stored at all, the writer will say what is wrong.
  if (statvfs(folder.c_str(), &space) != 0 || space.f_blocks == 0) return;
  const uint64_t free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  if (bytes > free_bytes) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("{}: the converted file needs {} bytes, {} has {} bytes free", output,
                            bytes, folder.string(), free_bytes));
  }
}

void summarise(ConvertReport& report) {
  double body_bits = 0, body_weights = 0, weights = 0;
  for (const ConvertedTensor& tensor : report.tensors) {
    const double count = static_cast<double>(tensor.rows) * static_cast<double>(tensor.cols);
    weights += count;
    if (tensor.rows == 1 || !tensor.in_layer) continue;
    body_weights += count;
    body_bits += count * bits_per_weight(parse_dtype(tensor.dtype));
  }
  report.body_bits_per_weight = body_weights > 0 ? body_bits / body_weights : 0;
  report.whole_bits_per_weight = 8.0 * static_cast<double>(report.bytes) / weights;
}

ConvertReport convert_model(const std::string& source, const std::string& output,
                            const ConvertOptions& options, const Engine& engine,
                            const Progress& progress) {
  const Stopwatch stopwatch;
  const std::unique_ptr<Importer> importer = open_any_source(source, engine.log_sink());
  const ImportedModel& model = importer->model();
  // What cannot be run is refused before it is converted.
  find_architecture(parse_model_config(model.config, model.name).architecture, model.name);
  const ConvertPlan plan = plan_conversion(model, options);
  ConvertReport report{.output = output, .substitutions = plan.substitutions, .notes = model.notes};
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  std::vector<std::byte> built;
  if (model.tokenizer_image.empty())
    built = build_tokenizer_image(model.tokenizer_json, model.name);
  MicaWriter writer(output, specs, built.empty() ? model.tokenizer_image : Bytes(built));
  if (options.dry_run) {
    for (const PlannedTensor& tensor : plan.tensors) {
      report.tensors.push_back(describe(model.tensors[tensor.source], tensor.spec));
    }
    report.bytes = writer.planned_bytes();
  } else {
    check_destination(source, output, writer.planned_bytes());
    write_tensors(*importer, plan, writer, engine, progress, report);
    const Hash128 hash = importer->hash([&](uint64_t done, uint64_t total) {
      report_progress(progress, writer.planned_bytes() + done, writer.planned_bytes() + total);
      return true;
    });
    writer.finish(metadata_of(model, options, hash, report));
    report.bytes = std::filesystem::file_size(output);
  }
  summarise(report);
  report.seconds = stopwatch.seconds();
  return report;
}

}  // namespace mica
