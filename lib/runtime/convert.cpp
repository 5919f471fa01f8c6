#include "lib/runtime/convert.h"

#include <filesystem>
#include <fmt/core.h>
#include <functional>
#include <map>
#include <optional>
#include <sys/statvfs.h>
#include <utility>

#include "formats/importer.h"
#include "formats/mica_layout.h"
#include "formats/sniff.h"
#include "formats/writer.h"
#include "lib/base/error.h"
#include "lib/base/stopwatch.h"
#include "lib/model/architecture.h"
#include "lib/model/config.h"
#include "lib/runtime/calibrate.h"
#include "lib/runtime/convert_plan.h"
#include "lib/runtime/convert_progress.h"
#include "lib/runtime/convert_tensor.h"
#include "lib/runtime/mica_source.h"
#include "lib/runtime/target_bits.h"
#include "lib/text/tokenizer_image.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

Json describe(const CalibrationOptions& calibration, int64_t tokens) {
  constexpr const char* kEfforts[] = {"search", "gptq", "full"};
  return Json::object({{"text", calibration.text_name},
                       {"text_xxh3_128", hash128(as_bytes(calibration.text)).hex()},
                       {"tokens", tokens},
                       {"effort", kEfforts[static_cast<int>(calibration.effort)]},
                       {"awq", calibration.awq}});
}

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
  if (options.calibration) {
    metadata["conversion"]["calibration"] =
        describe(*options.calibration, report.calibration_tokens);
  }
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

void require_destination(const std::string& source, const std::string& output) {
  std::error_code ignored;
  if (std::filesystem::equivalent(source, output, ignored)) {
    throw Error(ErrorCode::kUsage, fmt::format("{}: the output is the source itself", output));
  }
  require_replaceable(output);
}

// What the layers that calibration keeps beside the output need beyond what a side file has.
uint64_t side_file_bytes(const ConvertPlan& plan, const std::string& output) {
  uint64_t bytes = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!is_calibrated(tensor)) continue;
    bytes += tensor_bytes(tensor.spec.dtype, tensor.spec.rows, tensor.spec.cols, "plan");
  }
  std::error_code error;
  const uint64_t present = std::filesystem::file_size(output + ".calibration", error);
  return error ? bytes : bytes - std::min(bytes, present);
}

// Calibration that would change nothing is refused.
void require_work(const ConvertPlan& plan, const std::string& name) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (is_calibrated(tensor)) return;
  }
  throw Error(ErrorCode::kUsage,
              name +
                  ": calibration: expected matrices to quantize, found that all are carried over "
                  "as they are or written as floats; --quant with another type quantizes them");
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

void copy_tensor(Bytes bytes, FunctionRef<void(Bytes)> write) {
  constexpr size_t kPieceBytes = 1 << 24;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), kPieceBytes))) {
    write(bytes.first(std::min(bytes.size(), kPieceBytes)));
  }
}

// What the parts of a conversion work with.
struct Conversion {
  const Importer& importer;
  const ModelConfig& config;
  const ConvertOptions& options;
  const Engine& engine;
  Bytes tokenizer_image;
  ConvertProgress& progress;
};

void write_tensor(const Conversion& job, const PlannedTensor& planned,
                  const CalibratedTensor* calibrated, MicaWriter& writer, ConvertReport& report) {
  const SourceTensor& source = job.importer.model().tensors[planned.source];
  report.tensors.push_back(describe(source, planned.spec));
  ConvertedTensor& converted = report.tensors.back();
  const auto write = [&](Bytes bytes) {
    writer.write(bytes);
    job.progress.add(bytes.size());
  };
  writer.begin_tensor();
  if (calibrated) {
    write(calibrated->bytes);
    converted.relative_error = calibrated->relative_error;
    if (planned.spec.rows > 1) {
      converted.nearest_error = calibrated->nearest_error;
      converted.output_error = calibrated->output_error;
    }
    return writer.end_tensor(static_cast<float>(converted.relative_error));
  }
  if (planned.copied) {
    copy_tensor(job.importer.stored_bytes(planned.source), write);
    converted.relative_error = source.relative_error;
    return writer.end_tensor(source.relative_error);
  }
  TensorEncoder encoder(job.importer, planned, job.engine);
  encoder.run(write);
  converted.relative_error = encoder.relative_error();
  writer.end_tensor(static_cast<float>(converted.relative_error));
  if (encoder.requantized() == 0) return;
  report.substitutions.push_back(
      fmt::format("{}: {} codes of {} re-quantized, since {} has no such value", converted.name,
                  encoder.requantized(), source.source_type, converted.dtype));
}

// Writes every tensor in the order of the file.
void write_tensors(const Conversion& job, const ConvertPlan& plan, Calibration* calibration,
                   MicaWriter& writer, ConvertReport& report) {
  std::map<std::pair<Role, int>, const PlannedTensor*> by_place;
  for (const PlannedTensor& tensor : plan.tensors) {
    by_place[{tensor.spec.role, tensor.spec.layer}] = &tensor;
  }
  for (const TensorSpec& spec : writer.specs()) {
    const CalibratedTensor* calibrated =
        calibration ? calibration->find(spec.role, spec.layer) : nullptr;
    write_tensor(job, *by_place.at({spec.role, spec.layer}), calibrated, writer, report);
  }
}

Hash128 hash_source(const Importer& importer, ConvertProgress& progress) {
  uint64_t hashed = 0;
  return importer.hash([&](uint64_t done, uint64_t) {
    progress.add(done - std::exchange(hashed, done));
    return true;
  });
}

// The windows to calibrate with, if any. Refuses what calibration would have no say in.
std::optional<CalibrationText> text_of(const Conversion& job, const ConvertPlan& plan) {
  if (!job.options.calibration) return std::nullopt;
  const std::string& name = job.importer.model().name;
  require_work(plan, name);
  return make_calibration_text(Tokenizer::open(job.tokenizer_image, name), job.config,
                               *job.options.calibration);
}

void write_file(const Conversion& job, const ConvertPlan& plan,
                const std::optional<CalibrationText>& text, MicaWriter& writer,
                ConvertReport& report) {
  const uint64_t source_bytes = job.importer.source_bytes();
  job.progress.expect(writer.planned_bytes() + source_bytes);
  std::optional<Hash128> hash;
  std::optional<Calibration> calibration;
  if (text) {
    hash = hash_source(job.importer, job.progress);
    calibration.emplace(CalibrationJob{.importer = job.importer,
                                       .config = job.config,
                                       .engine = job.engine,
                                       .plan = plan,
                                       .options = *job.options.calibration,
                                       .text = *text,
                                       .output = report.output,
                                       .source_hash = *hash},
                        job.progress.begin(kSlowWork * source_bytes));
  }
  write_tensors(job, plan, calibration ? &*calibration : nullptr, writer, report);
  if (calibration) report.held_out = calibration->held_out_divergence();
  if (!hash) hash = hash_source(job.importer, job.progress);
  writer.finish(metadata_of(job.importer.model(), job.options, *hash, report));
  if (calibration) calibration->finish();
  report.bytes = std::filesystem::file_size(report.output);
}

// A target of bits, and what those matrices take of it that no group divides: they stay floats.
BitsTarget target_of(const ConvertPlan& plan, double bits) {
  BitsTarget target{.bits_per_weight = bits};
  for (const PlannedTensor& tensor : plan.tensors) {
    const TensorSpec& spec = tensor.spec;
    const bool is_chosen = spec.cols % static_cast<uint64_t>(harm_dtype().group) == 0;
    if (spec.layer == kNoLayer || spec.rows == 1 || is_chosen) continue;
    const double weights = static_cast<double>(spec.rows) * static_cast<double>(spec.cols);
    target.fixed_weights += weights;
    target.fixed_bits += weights * bits_per_weight(spec.dtype);
  }
  return target;
}

// What a target of bits chooses; nothing without one.
ChosenTypes types_for_target(const Conversion& job, ConvertReport& report) {
  constexpr int64_t kTokens = 1024;
  const ConvertOptions& options = job.options;
  if (options.target_bits == 0) return {};
  if (options.quant != "keep") {
    throw Error(
        ErrorCode::kUsage,
        fmt::format("quant: expected none beside a target of bits, which chooses the types, "
                    "found '{}'",
                    options.quant));
  }
  check_type_options(job.importer.model(), options);  // before the work
  ConvertOptions others = options;                    // a recipe's types are beside the target
  others.recipe.clear();
  const BitsTarget target =
      target_of(plan_conversion(job.importer.model(), others), options.target_bits);
  const bool has_text = options.calibration && !options.calibration->random_tokens;
  const Tokenizer tokenizer = Tokenizer::open(job.tokenizer_image, job.importer.model().name);
  const CalibrationWindows windows =
      cut_calibration_text(tokenizer, job.config,
                           has_text ? options.calibration->text : default_calibration_text(),
                           has_text ? options.calibration->text_name : "default", kTokens)
          .windows;
  TargetChoice choice =
      choose_for_target(job.importer, job.config, job.engine, target, windows,
                        job.progress.begin(kSlowWork * job.importer.source_bytes()));
  report.notes.insert(report.notes.end(), choice.notes.begin(), choice.notes.end());
  return std::move(choice.types);
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
  const ModelConfig config = parse_model_config(model.config, model.name);
  find_architecture(config.architecture, model.name);
  std::vector<std::byte> built;
  if (model.tokenizer_image.empty()) {
    built = build_tokenizer_image(model.tokenizer_json, model.name);
  }
  const Bytes tokenizer = built.empty() ? Bytes(model.tokenizer_image) : Bytes(built);
  if (!options.dry_run) require_destination(source, output);
  ConvertProgress meter(progress);
  const Conversion job{*importer, config, options, engine, tokenizer, meter};
  ConvertReport report{.output = output, .notes = model.notes};
  const ConvertPlan plan = plan_conversion(model, options, types_for_target(job, report));
  report.substitutions = plan.substitutions;
  const std::optional<CalibrationText> text = text_of(job, plan);
  if (text) report.calibration_tokens = std::ssize(text->windows.tokens);
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  MicaWriter writer(output, specs, tokenizer);
  if (options.dry_run) {
    for (const PlannedTensor& tensor : plan.tensors) {
      report.tensors.push_back(describe(model.tensors[tensor.source], tensor.spec));
    }
    report.bytes = writer.planned_bytes();
  } else {
    check_free_space(output, writer.planned_bytes() + (text ? side_file_bytes(plan, output) : 0));
    write_file(job, plan, text, writer, report);
  }
  summarise(report);
  report.seconds = stopwatch.seconds();
  return report;
}

}  // namespace mica
