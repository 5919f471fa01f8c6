// Plans: mica.h over lib/runtime/plan.h.
#include <fmt/core.h>

#include "lib/api/handles.h"
#include "lib/base/host.h"
#include "lib/runtime/plan_machine.h"
#include "lib/runtime/plan_source.h"

namespace mica {
namespace {

Json describe(const PlanBytes& bytes) {
  return Json::object({{"weights", Json(bytes.weights)},
                       {"kv", Json(bytes.kv)},
                       {"activations", Json(bytes.activations)},
                       {"logits", Json(bytes.logits)},
                       {"workspace", Json(bytes.workspace)},
                       {"ring", Json(bytes.ring)},
                       {"staging", Json(bytes.staging)}});
}

Json describe(const PlanPlace& place, bool is_imaginary) {
  const bool is_known = place.budget_bytes != UINT64_MAX;
  return Json::object({{"name", place.name},
                       {"budget_bytes", is_known ? Json(place.budget_bytes) : Json()},
                       {"used_bytes", Json(place.bytes.total())},
                       {"mapped_bytes", Json(place.mapped_bytes)},
                       {"deficit_bytes", Json(place.deficit_bytes)},
                       {"imaginary", is_imaginary && place.device != kHostDevice},
                       {"by_kind", describe(place.bytes)}});
}

const std::string& place_name(const Plan& plan, int device) {
  return plan.places[static_cast<size_t>(device - kHostDevice)].name;
}

// One of each layer, its weights and its keys and values.
Json describe_layers(const PlanModel& model, const Plan& plan) {
  Json layers = Json::array();
  const uint64_t kv = kv_bytes(model, plan.placement, 1);
  for (const PlacedPart& part : plan.placement.parts) {
    for (int64_t i = part.first_layer; i < part.first_layer + part.layers; ++i) {
      layers.push_back(Json::object({{"layer", i},
                                     {"device", place_name(plan, part.device)},
                                     {"bytes", Json(aligned_run(model.layers[i].bytes) + kv)}}));
    }
  }
  return layers;
}

Json describe(const PlanModel& model) {
  return Json::object({{"name", model.config.name},
                       {"architecture", model.config.architecture},
                       {"layers", model.config.layers},
                       {"weights", model.weight_type},
                       {"parameters", model.parameters},
                       {"weight_bytes", Json(model.weight_bytes())}});
}

// The host's rates, and where they are from.
struct HostRates {
  PlanRates rates;
  bool are_measured = false;
};

Json describe(const HostRates& host) {
  return Json::object({{"source", host.are_measured ? "measured" : "default"},
                       {"read_gb_per_second", host.rates.read / 1e9},
                       {"int8_gops", host.rates.int8 / 1e9},
                       {"float_gflops", host.rates.floats / 1e9}});
}

Json describe(const PlanModel& model, const Plan& plan, const HostRates& host, bool is_imaginary) {
  Json devices = Json::array();
  uint64_t needed = 0;
  for (const PlanPlace& place : plan.places) {
    devices.push_back(describe(place, is_imaginary));
    needed += place.bytes.total() + place.mapped_bytes;
  }
  const Placement& placement = plan.placement;
  const Streaming& streaming = placement.streaming;
  return Json::object(
      {{"fits", plan.fits},
       {"deficit_bytes", Json(plan.deficit_bytes)},
       {"deficit", plan.fits ? Json() : Json(deficit_sentence(plan))},
       {"would_fit", Json::array(plan.would_fit)},
       {"model", describe(model)},
       {"devices", std::move(devices)},
       {"layers", describe_layers(model, plan)},
       {"embedding", place_name(plan, placement.parts.front().device)},
       {"head", place_name(plan, placement.parts.back().device)},
       {"context", placement.context},
       {"kv", kv_type_name(placement.kv)},
       {"prefill_chunk", placement.chunk},
       {"streaming", streaming.possible() ? Json::object({{"from_tokens", streaming.from_tokens},
                                                          {"tokens", streaming.tokens}})
                                          : Json()},
       {"concessions", Json::array(plan.concessions)},
       {"predicted", Json::object({{"prefill_tokens_per_second", plan.prefill_tokens_per_second},
                                   {"decode_tokens_per_second", plan.decode_tokens_per_second},
                                   {"prompt_tokens", plan.prompt_tokens}})},
       {"rates", describe(host)},
       {"needed_bytes", Json(needed)},
       {"rule_of_thumb_bytes", Json(model.rule_of_thumb_bytes())}});
}

PlanSource source_of(const char* path, const mica_plan_options& given) {
  PlanSource source{.synthetic = std::string(text_or(given.synthetic, "")),
                    .quant = std::string(text_or(given.quant, "keep")),
                    .embedding_quant = std::string(text_or(given.embedding_quant, ""))};
  if (source.synthetic.empty()) source.path = &required(path, "path");
  return source;
}

// The engine's, an imaginary one, or none.
std::vector<PlanDevice> devices_of(const Engine& engine, const std::string& kind,
                                   PlanRequest& request, bool& is_imaginary) {
  if (kind == "cpu") {
    if (request.gpu_memory == 0) return {};
    throw Error(ErrorCode::kUsage,
                fmt::format("gpu memory: expected none with the device cpu, found {} bytes",
                            request.gpu_memory));
  }
  std::vector<PlanDevice> devices = plan_devices(engine);
  is_imaginary = devices.empty() && request.gpu_memory > 0;
  if (is_imaginary) devices.push_back(imaginary_device(request.gpu_memory));
  request.needs_device = kind != "auto";
  if (devices.empty() && request.needs_device) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("device {}: expected one on this machine, found none; with gpu memory "
                            "given an imaginary one is planned",
                            kind));
  }
  return devices;
}

HostRates rates_of(const Engine& engine, bool by_default) {
  if (by_default) return {.rates = default_host_rates(engine.pool().size())};
  return {.rates = measure_host_rates(engine), .are_measured = true};
}

std::vector<KvType> kv_wishes(const char* name) {
  if (text_or(name, "f16") == "auto") return {KvType::kF16, KvType::kInt8};
  return {parse_kv_type(name)};
}

Json plan(const mica_engine_options& shared, const char* path, const mica_plan_options& given) {
  const EngineOptions options = engine_options(shared);
  PlanRequest request = plan_request(
      options_or_default(&given.model, &mica_model_options_init, "mica_model_options"));
  const PlanModel model = read_plan_model(source_of(path, given), options.log);
  const Engine engine(options);
  bool is_imaginary = false;
  const std::vector<PlanDevice> devices = devices_of(engine, options.device, request, is_imaginary);
  const HostRates host = rates_of(engine, given.default_rates != 0);
  return describe(model, make_plan(model, devices, plan_host(engine, host.rates), request), host,
                  is_imaginary);
}

}  // namespace

PlanRequest plan_request(const mica_model_options& given) {
  if (given.context < -1) {
    throw Error(ErrorCode::kUsage,
                fmt::format("context: expected -1 or more, found {}", given.context));
  }
  // One by one: where an initializer of such an aggregate throws, GCC 12 destroys members twice.
  PlanRequest request;
  request.gpu_memory = given.gpu_memory;
  request.gpu_layers = given.gpu_layers;
  request.host_memory = given.host_memory;
  request.context = given.context < 0 ? 0 : given.context;
  request.may_shorten = given.context < 0;
  request.kv = kv_wishes(given.kv);
  request.chunk = given.prefill_chunk;
  request.copies_weights = parse_load_mode(given.load) == LoadMode::kRead;
  return request;
}

}  // namespace mica

using namespace mica;

void mica_plan_options_init(mica_plan_options* options) {
  if (!options) return;
  *options = {.struct_size = sizeof *options};
  mica_model_options_init(&options->model);
}

mica_status mica_plan(const mica_engine_options* engine, const char* path,
                      const mica_plan_options* options, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    cleared(json, "json");
    const auto given = options_or_default(options, &mica_plan_options_init, "mica_plan_options");
    const auto shared =
        options_or_default(engine, &mica_engine_options_init, "mica_engine_options");
    hand_out(plan(shared, path, given).dump(), json);
  });
}
