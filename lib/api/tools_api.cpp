// Conversion and evaluation: mica.h over lib/runtime.
#include <cmath>
#include <fmt/core.h>
#include <optional>

#include "lib/api/handles.h"
#include "lib/runtime/calibration_text.h"
#include "lib/runtime/convert.h"
#include "lib/runtime/evaluate.h"
#include "lib/runtime/export_hf.h"
#include "lib/runtime/task.h"

namespace mica {
namespace {

Progress to_progress(mica_progress_callback callback, void* user) {
  if (!callback) return nullptr;
  return
      [callback, user](uint64_t done, uint64_t total) { return callback(user, done, total) != 0; };
}

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

CalibrationEffort parse_effort(std::string_view name) {
  if (name == "search") return CalibrationEffort::kSearch;
  if (name == "gptq") return CalibrationEffort::kGptq;
  if (name == "full") return CalibrationEffort::kFull;
  throw Error(ErrorCode::kUsage,
              "effort: expected search, gptq or full, found '" + std::string(name) + "'");
}

// Options of calibration without calibration would do nothing.
void refuse_calibration_options(const mica_convert_options& given) {
  const std::pair<const char*, bool> options[] = {
      {"effort", given.effort != nullptr},
      {"awq", given.awq != 0},
      {"calibration_tokens", given.calibration_tokens != 0},
      {"resume", given.resume != 0},
  };
  for (const auto& [name, is_given] : options) {
    if (!is_given) continue;
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: expected a calibration that it belongs to, found none", name));
  }
}

std::optional<CalibrationOptions> calibration_of(const mica_convert_options& given) {
  if (given.calibrate < 0 || given.calibrate > 2) {
    throw Error(ErrorCode::kUsage,
                fmt::format("calibrate: expected 0, 1 or 2, found {}", given.calibrate));
  }
  if (!given.calibration_text && !given.calibrate) {
    refuse_calibration_options(given);
    return std::nullopt;
  }
  if (given.calibration_tokens < 0) {
    throw Error(ErrorCode::kUsage, fmt::format("calibration_tokens: expected 0 or more, found {}",
                                               given.calibration_tokens));
  }
  CalibrationOptions options{.effort = parse_effort(text_or(given.effort, "full")),
                             .awq = given.awq != 0,
                             .resume = given.resume != 0};
  if (given.calibration_text) {
    options.text = text_of(given.calibration_text, given.calibration_text_size, "calibration_text");
    options.text_name = text_or(given.calibration_name, "text");
  } else if (given.calibrate == 2) {
    options.random_tokens = true;
    options.text_name = "random";
  } else {
    options.text = default_calibration_text();
    options.text_name = "default";
  }
  if (given.calibration_tokens > 0) options.tokens = given.calibration_tokens;
  return options;
}

bool chooses_types(const ConvertOptions& options) {
  return options.quant != "keep" || !options.embedding_quant.empty() || !options.recipe.empty() ||
         options.target_bits != 0 || options.calibration;
}

Json describe(const std::optional<HeldOutDivergence>& held_out) {
  if (!held_out) return {};
  return Json::object({{"mean_kl", held_out->mean_kl}, {"positions", held_out->positions}});
}

Json describe(const ConvertReport& report, bool dry_run) {
  Json tensors = Json::array();
  for (const ConvertedTensor& tensor : report.tensors) {
    const bool is_measured = !dry_run && !std::isnan(tensor.relative_error);
    tensors.push_back(
        Json::object({{"name", tensor.name},
                      {"source_type", tensor.source_type},
                      {"dtype", tensor.dtype},
                      {"group", tensor.group},
                      {"shape", Json::Array{Json(tensor.rows), Json(tensor.cols)}},
                      {"bytes", Json(tensor.bytes)},
                      {"relative_error", is_measured ? Json(tensor.relative_error) : Json()},
                      {"nearest_error", number_or_null(tensor.nearest_error)},
                      {"output_error", number_or_null(tensor.output_error)}}));
  }
  return Json::object({{"output", report.output},
                       {"bytes", Json(report.bytes)},
                       {"bits_per_weight", Json::object({{"body", report.body_bits_per_weight},
                                                         {"whole", report.whole_bits_per_weight}})},
                       {"substitutions", Json::array(report.substitutions)},
                       {"notes", Json::array(report.notes)},
                       {"tensors", std::move(tensors)},
                       {"calibration_tokens", Json(report.calibration_tokens)},
                       {"held_out", describe(report.held_out)},
                       {"seconds", report.seconds}});
}

Json describe(const Distribution& values) {
  Json json = Json::object({{"mean", values.mean.value}, {"se", values.mean.standard_error}});
  for (const Quantile& quantile : kQuantiles) json[quantile.name] = values.quantile(quantile.name);
  return json;
}

// "perplexity" and "perplexity_se".
void put(Json& json, const std::string& name, const Estimate& estimate) {
  json[name] = estimate.value;
  json[name + "_se"] = estimate.standard_error;
}

Json describe(const EvaluateResult& result) {
  Json json = Json::object();
  put(json, "perplexity", result.perplexity);
  json["windows"] = result.windows;
  json["scored_tokens"] = result.scored_tokens;
  Json layers = Json::array();
  for (const LayerError& error : result.layers) {
    Json layer = Json::object();
    put(layer, "relative_error", error.mean);
    layer["max"] = error.max;
    layers.push_back(std::move(layer));
  }
  if (!result.layers.empty()) json["layers"] = std::move(layers);
  if (!result.kl) return json;
  json["kl"] = describe(result.kl->kl);
  json["probability_difference"] = describe(result.kl->probability_difference);
  put(json["probability_difference"], "rms", result.kl->probability_difference_rms);
  put(json, "base_perplexity", result.kl->base_perplexity);
  put(json, "perplexity_ratio", result.kl->perplexity_ratio);
  json["log_correlation"] = result.kl->log_correlation;
  put(json, "top1_agreement", result.kl->top1_agreement);
  return json;
}

Json describe(const TaskResult& result) {
  Json json = Json::object({{"items", result.items}});
  put(json, "accuracy", result.accuracy);
  if (result.accuracy_norm) put(json, "accuracy_norm", *result.accuracy_norm);
  if (result.perplexity) put(json, "perplexity", *result.perplexity);
  return json;
}

TaskKind parse_task(std::string_view name) {
  if (name == "lambada") return TaskKind::kLambada;
  if (name == "choices") return TaskKind::kChoices;
  throw Error(ErrorCode::kUsage,
              fmt::format("task: expected lambada or choices, found '{}'", name));
}

Json run_task(const LoadedModel& model, const mica_perplexity_options& given, Progress progress) {
  if (given.kl_base || given.save_kl_base || given.reference) {
    throw Error(ErrorCode::kUsage, "a task is scored without a base file and a reference model");
  }
  return describe(run_task(
      model, parse_task(given.task), text_of(given.text, given.text_size, "text"),
      {.items = given.windows, .kv = parse_kv_type(given.kv), .progress = std::move(progress)}));
}

}  // namespace
}  // namespace mica

using namespace mica;

void mica_convert_options_init(mica_convert_options* options) {
  if (options) *options = {.struct_size = sizeof *options};
}

mica_status mica_convert(mica_engine* engine, const char* source, const char* output,
                         const mica_convert_options* options, mica_progress_callback progress,
                         void* user, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    if (json) *json = {};
    const auto given =
        options_or_default(options, &mica_convert_options_init, "mica_convert_options");
    const Engine& target = *required(engine, "engine").engine;
    const ConvertOptions request{
        .quant = std::string(text_or(given.quant, "keep")),
        .embedding_quant = std::string(text_or(given.embedding_quant, "")),
        .recipe =
            given.recipe ? std::string(text_of(given.recipe, given.recipe_size, "recipe")) : "",
        .recipe_name = std::string(text_or(given.recipe_name, "recipe")),
        .target_bits = given.target_bits,
        .calibration = calibration_of(given),
        .dry_run = given.dry_run != 0};
    const char* from = &required(source, "source");
    const char* into = &required(output, "output");
    const std::string_view to = text_or(given.to, "mica");
    if (to != "mica" && to != "hf") {
      throw Error(ErrorCode::kUsage, fmt::format("to: expected mica or hf, found '{}'", to));
    }
    if (to == "hf" && chooses_types(request)) {
      throw Error(
          ErrorCode::kUsage,
          "a Hugging Face folder holds floats: it takes no weight types and no calibration");
    }
    ExportOptions folder{.dry_run = request.dry_run};
    if (given.shard_bytes != 0) folder.shard_bytes = given.shard_bytes;
    const Progress told = to_progress(progress, user);
    const ConvertReport report = to == "hf" ? export_to_hf(from, into, folder, target, told)
                                            : convert_model(from, into, request, target, told);
    if (json) hand_out(describe(report, request.dry_run).dump(), json);
  });
}

void mica_perplexity_options_init(mica_perplexity_options* options) {
  if (options) *options = {.struct_size = sizeof *options};
}

mica_status mica_perplexity(mica_model* model, const mica_perplexity_options* options,
                            mica_progress_callback progress, void* user, mica_text* json,
                            mica_error* error) {
  return guarded(error, [&] {
    cleared(json, "json");
    const auto given =
        options_or_default(options, &mica_perplexity_options_init, "mica_perplexity_options");
    const LoadedModel& loaded = *required(model, "model").model;
    if (given.task) {
      hand_out(run_task(loaded, given, to_progress(progress, user)).dump(), json);
      return;
    }
    EvaluateOptions request{.windows = given.windows,
                            .kv = parse_kv_type(given.kv),
                            .kl_base = std::string(text_or(given.kl_base, "")),
                            .save_kl_base = std::string(text_or(given.save_kl_base, "")),
                            .reference = given.reference ? given.reference->model.get() : nullptr,
                            .progress = to_progress(progress, user)};
    if (given.context != 0) request.context = given.context;
    const EvaluateResult result =
        evaluate(loaded, text_of(given.text, given.text_size, "text"), request);
    hand_out(describe(result).dump(), json);
  });
}
