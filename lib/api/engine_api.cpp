// Engine, doctor, model, tokenizer: mica.h over lib/runtime.
#include <algorithm>
#include <cstdlib>
#include <fmt/core.h>

#include "lib/api/handles.h"
#include "lib/base/host.h"
#include "lib/runtime/chat.h"

namespace mica {
namespace {

Activations parse_activations(const char* name) {
  const std::string_view text = text_or(name, "int8");
  if (text == "int8") return Activations::kInt8;
  if (text == "f32") return Activations::kF32;
  throw Error(ErrorCode::kUsage,
              fmt::format("activations: expected int8 or f32, found '{}'", text));
}

Json environment() {
  Json found = Json::object();
  for (const char* name : {"MICA_THREADS", "MICA_ISA", "MICA_MODULE_DIR", "OMP_NUM_THREADS",
                           "OPENBLAS_CORETYPE", "SLURM_CPUS_PER_TASK", "HF_HOME", "HF_HUB_CACHE"}) {
    if (const char* value = std::getenv(name)) found[name] = value;
  }
  return found;
}

std::string blas() {
  try {
    return describe_blas();
  } catch (const Error& error) {
    return error.message();
  }
}

Json describe_host(const HostFacts& host) {
  return Json::object({{"cpu", host.cpu_name},
                       {"online_cpus", host.online_cpus},
                       {"affinity_cpus", host.affinity_cpus},
                       {"physical_cores", host.physical_cores},
                       {"cgroup_cpus", host.cgroup_cpus},
                       {"slurm_cpus", host.slurm_cpus},
                       {"memory_total_bytes", Json(host.memory_total_bytes)},
                       {"memory_available_bytes", Json(host.memory_available_bytes)},
                       {"cgroup_memory_bytes", Json(host.cgroup_memory_bytes)}});
}

// Of each kind its devices, or why there are none.
Json describe_devices() {
  Json devices = Json::object();
  for (const DeviceKind& kind : examine_devices()) {
    if (kind.devices.empty()) devices[kind.kind] = kind.why_none;
    for (size_t i = 0; i < kind.devices.size(); ++i) {
      const DeviceFacts& facts = kind.devices[i];
      devices[fmt::format("{}:{}", kind.kind, i)] =
          Json::object({{"name", facts.name},
                        {"memory_bytes", Json(facts.memory_bytes)},
                        {"free_bytes", Json(facts.free_bytes)},
                        {"read_gb_per_second", facts.read_bytes_per_second / 1e9},
                        {"upload_gb_per_second", facts.upload_bytes_per_second / 1e9}});
    }
  }
  return devices;
}

Json examine(const EngineOptions& options) {
  const HostFacts host = read_host_facts();
  const ThreadChoice threads = choose_threads(host, options.threads);
  Json isas = Json::object(), missing = Json::object();
  for (const IsaInfo& isa : engine_isas()) {
    isas[isa.name] = isa.available;
    if (!isa.available) missing[isa.name] = isa.missing;
  }
  return Json::object({{"version", MICA_VERSION},
                       {"threads", threads.threads},
                       {"threads_why", threads.reason},
                       {"isa", choose_engine_isa(options.isa)},
                       {"isas", std::move(isas)},
                       {"isas_missing", std::move(missing)},
                       {"blas", blas()},
                       {"host", describe_host(host)},
                       {"devices", describe_devices()},
                       {"environment", environment()}});
}

Json describe_model(const LoadedModel& model) {
  Json info = model.file().metadata();
  info["file"] = model.file().path();
  info["file_bytes"] = Json(model.file().file_bytes());
  info["tokenizer"] = model.tokenizer().kind();
  info["backend"] = model.engine().backend().name();
  return info;
}

}  // namespace

LoadMode parse_load_mode(const char* name) {
  const std::string_view text = text_or(name, "map");
  if (text == "map") return LoadMode::kMap;
  if (text == "read") return LoadMode::kRead;
  throw Error(ErrorCode::kUsage, fmt::format("load: expected map or read, found '{}'", text));
}

EngineOptions engine_options(const mica_engine_options& given) {
  EngineOptions options{.threads = given.threads,
                        .isa = std::string(text_or(given.isa, "auto")),
                        .activations = parse_activations(given.activations),
                        .device = std::string(text_or(given.device, "auto"))};
  if (given.log) {
    options.log = [callback = given.log, user = given.log_user](LogLevel level,
                                                                std::string_view text) {
      callback(user, static_cast<mica_log_level>(level), text.data(), text.size());
    };
  }
  return options;
}

}  // namespace mica

using namespace mica;

void mica_engine_options_init(mica_engine_options* options) {
  if (options) *options = {.struct_size = sizeof *options};
}

mica_status mica_engine_create(const mica_engine_options* options, mica_engine** engine,
                               mica_error* error) {
  return guarded(error, [&] {
    cleared(engine, "engine");
    const auto given =
        options_or_default(options, &mica_engine_options_init, "mica_engine_options");
    EngineOptions chosen = engine_options(given);
    chosen.threads = choose_running_threads(read_host_facts(), chosen.threads).threads;
    *engine = new mica_engine{std::make_shared<const Engine>(chosen)};
  });
}

void mica_engine_free(mica_engine* engine) {
  delete engine;
}

mica_status mica_doctor(const mica_engine_options* options, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    cleared(json, "json");
    const auto given =
        options_or_default(options, &mica_engine_options_init, "mica_engine_options");
    hand_out(examine(engine_options(given)).dump(), json);
  });
}

void mica_model_options_init(mica_model_options* options) {
  if (options) *options = {.struct_size = sizeof *options, .gpu_layers = -1};
}

mica_status mica_model_load(mica_engine* engine, const char* path,
                            const mica_model_options* options, mica_model** model,
                            mica_error* error) {
  return guarded(error, [&] {
    cleared(model, "model");
    const auto given = options_or_default(options, &mica_model_options_init, "mica_model_options");
    const LoadOptions load{.mode = parse_load_mode(given.load),
                           .verify = given.verify != 0,
                           .plan = plan_request(given)};
    *model = new mica_model{
        LoadedModel::load(required(engine, "engine").engine, &required(path, "path"), load)};
  });
}

void mica_model_free(mica_model* model) {
  delete model;
}

mica_status mica_model_info(const mica_model* model, mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    cleared(json, "json");
    hand_out(describe_model(*required(model, "model").model).dump(), json);
  });
}

mica_status mica_tokenize(const mica_model* model, const char* text, size_t size, uint32_t flags,
                          mica_ids* ids, mica_error* error) {
  return guarded(error, [&] {
    cleared(ids, "ids");
    const LoadedModel& loaded = *required(model, "model").model;
    const EncodeOptions options{.match_added_tokens = (flags & MICA_PLAIN) == 0,
                                .add_special_tokens = (flags & MICA_NO_SPECIAL) == 0};
    const std::vector<TokenId> found =
        loaded.tokenizer().encode(text_of(text, size, "text"), options);
    loaded.file().check();  // a file cut meanwhile reads as zeros
    auto* copy =
        static_cast<int32_t*>(std::malloc(std::max<size_t>(1, found.size()) * sizeof(int32_t)));
    if (!copy) throw std::bad_alloc();
    std::copy(found.begin(), found.end(), copy);
    *ids = {copy, found.size()};
  });
}

mica_status mica_detokenize(const mica_model* model, const int32_t* ids, size_t count,
                            uint32_t flags, mica_text* text, mica_error* error) {
  return guarded(error, [&] {
    cleared(text, "text");
    if (!ids && count > 0) fail_argument("ids");
    const LoadedModel& loaded = *required(model, "model").model;
    const std::string result =
        loaded.tokenizer().decode({ids, count}, (flags & MICA_NO_SPECIAL) != 0);
    loaded.file().check();
    hand_out(result, text);
  });
}

mica_status mica_render_chat(const mica_model* model, const char* messages, size_t size,
                             mica_text* text, mica_error* error) {
  return guarded(error, [&] {
    cleared(text, "text");
    const LoadedModel& loaded = *required(model, "model").model;
    const Json parsed = parse_messages(messages, size);
    hand_out(render_chat(loaded, loaded.chat_template(), parsed).text, text);
  });
}
