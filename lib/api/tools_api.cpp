// Conversion and evaluation: mica.h over lib/runtime.
#include "lib/api/handles.h"
#include "lib/runtime/convert.h"
#include "lib/runtime/evaluate.h"

namespace mica {
namespace {

Progress to_progress(mica_progress_callback callback, void* user) {
  if (!callback) return nullptr;
  return
      [callback, user](uint64_t done, uint64_t total) { return callback(user, done, total) != 0; };
}

Json describe(const ConvertReport& report, bool dry_run) {
  Json tensors = Json::array();
  for (const ConvertedTensor& tensor : report.tensors) {
    tensors.push_back(
        Json::object({{"name", tensor.name},
                      {"source_type", tensor.source_type},
                      {"dtype", tensor.dtype},
                      {"group", tensor.group},
                      {"shape", Json::Array{Json(tensor.rows), Json(tensor.cols)}},
                      {"bytes", Json(tensor.bytes)},
                      {"relative_error", dry_run ? Json() : Json(tensor.relative_error)}}));
  }
  return Json::object({{"output", report.output},
                       {"bytes", Json(report.bytes)},
                       {"bits_per_weight", Json::object({{"body", report.body_bits_per_weight},
                                                         {"whole", report.whole_bits_per_weight}})},
                       {"substitutions", Json::array(report.substitutions)},
                       {"notes", Json::array(report.notes)},
                       {"tensors", std::move(tensors)},
                       {"seconds", report.seconds}});
}

Json describe(const EvaluateResult& result) {
  Json json = Json::object({{"perplexity", result.perplexity.value},
                            {"perplexity_se", result.perplexity.standard_error},
                            {"windows", result.windows},
                            {"scored_tokens", result.scored_tokens}});
  if (!result.kl) return json;
  json["kl"] = Json::object({{"mean", result.kl->mean.value},
                             {"se", result.kl->mean.standard_error},
                             {"p99", result.kl->p99},
                             {"max", result.kl->max}});
  json["base_perplexity"] = result.kl->base_perplexity;
  json["perplexity_ratio"] = result.kl->perplexity_ratio.value;
  json["perplexity_ratio_se"] = result.kl->perplexity_ratio.standard_error;
  json["top1_agreement"] = result.kl->top1_agreement.value;
  return json;
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
    const ConvertOptions request{.quant = std::string(text_or(given.quant, "keep")),
                                 .embedding_quant = std::string(text_or(given.embedding_quant, "")),
                                 .dry_run = given.dry_run != 0};
    const ConvertReport report =
        convert_model(&required(source, "source"), &required(output, "output"), request, target,
                      to_progress(progress, user));
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
    EvaluateOptions request{.windows = given.windows,
                            .kv = parse_kv_type(given.kv),
                            .kl_base = std::string(text_or(given.kl_base, "")),
                            .save_kl_base = std::string(text_or(given.save_kl_base, "")),
                            .progress = to_progress(progress, user)};
    if (given.context != 0) request.context = given.context;
    const EvaluateResult result = evaluate(*required(model, "model").model,
                                           text_of(given.text, given.text_size, "text"), request);
    hand_out(describe(result).dump(), json);
  });
}
