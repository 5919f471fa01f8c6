// Benchmarks: mica.h over lib/runtime/benchmark.h.
#include <algorithm>

#include "lib/api/handles.h"
#include "lib/runtime/benchmark.h"
#include "lib/runtime/synthetic_model.h"

namespace mica {
namespace {

constexpr int64_t kDefaultPrompt = 512;
constexpr int64_t kDefaultOne = 1;
constexpr int64_t kDefaultDepth = 0;

std::vector<int64_t> numbers(const mica_numbers& given, const char* name) {
  if (!given.values && given.count > 0) fail_argument(name);
  return {given.values, given.values + given.count};
}

BenchmarkOptions benchmark_options(const mica_engine_options& engine,
                                   const mica_bench_options& given) {
  // One by one: where an initializer of such an aggregate throws, GCC 12 destroys members twice.
  BenchmarkOptions options;
  options.engine = engine_options(engine);
  options.plan.gpu_memory = given.gpu_memory;
  options.plan.gpu_layers = given.gpu_layers;
  options.plan.host_memory = given.host_memory;
  options.kv = parse_kv_type(given.kv);
  options.prompts = numbers(given.prompts, "prompts");
  options.depths = numbers(given.depths, "depths");
  options.batches = numbers(given.batches, "batches");
  options.generated = given.generated;
  options.repetitions = given.repetitions;
  for (const int64_t threads : numbers(given.threads, "threads")) {
    options.threads.push_back(static_cast<int>(std::clamp<int64_t>(threads, -1, INT32_MAX)));
  }
  return options;
}

const char* name_of(BenchmarkTest test) {
  return test == BenchmarkTest::kPrefill ? "prefill" : "decode";
}

const char* name_of(BenchmarkLimit limit) {
  switch (limit) {
    case BenchmarkLimit::kInt8:
      return "int8";
    case BenchmarkLimit::kFma:
      return "fma";
    case BenchmarkLimit::kRead:
      break;
  }
  return "read";
}

// In thousand millions; null for what is not known.
Json billions(double value) {
  return value == 0 ? Json() : Json(value / 1e9);
}

Json describe(const MachineLimits& limits) {
  return Json::object({{"threads", limits.threads.threads},
                       {"read_gb_per_second", billions(limits.read)},
                       {"read_gb_per_second_at_model_size", billions(limits.read_at_model_size)},
                       {"read_gb_per_second_from_cache", billions(limits.read_from_cache)},
                       {"int8_gops", billions(limits.int8)},
                       {"fma_gflops", billions(limits.fma)}});
}

Json spread(const std::vector<double>& values) {
  if (values.empty()) return Json();
  return Json::object({{"median", median(values)},
                       {"min", *std::min_element(values.begin(), values.end())},
                       {"max", *std::max_element(values.begin(), values.end())}});
}

Json describe(const BenchmarkCase& c) {
  const bool known = !c.limit_shares.empty();
  return Json::object({{"test", name_of(c.test)},
                       {"threads", c.threads},
                       {"tokens", c.tokens},
                       {"depth", c.depth},
                       {"batch", c.batch},
                       {"repetitions", c.tokens_per_second.size()},
                       {"tokens_per_second", spread(c.tokens_per_second)},
                       {"bytes_per_token", c.bytes_per_token},
                       {"operations_per_token", c.operations_per_token},
                       {"limit", name_of(c.limit)},
                       {"limit_per_second", known ? Json(median(c.limit_rates)) : Json()},
                       {"share_of_limit", known ? Json(median(c.limit_shares)) : Json()}});
}

Json describe(const BenchmarkResult& result) {
  // `machine` and `limits` are those of most threads.
  const auto& most = *std::max_element(
      result.limits.begin(), result.limits.end(),
      [](const auto& a, const auto& b) { return a.threads.threads < b.threads.threads; });
  Json limits = Json::array(), cases = Json::array();
  for (const MachineLimits& each : result.limits) limits.push_back(describe(each));
  for (const BenchmarkCase& c : result.cases) cases.push_back(describe(c));
  return Json::object({{"version", MICA_VERSION},
                       {"machine", Json::object({{"cpu", result.cpu},
                                                 {"isa", result.isa},
                                                 {"threads", most.threads.threads},
                                                 {"why", most.threads.reason}})},
                       {"model", Json::object({{"name", result.model},
                                               {"weights", result.weights},
                                               {"weight_bytes", Json(result.weight_bytes)},
                                               {"kv", kv_type_name(result.kv)},
                                               {"places", Json::array(result.places)}})},
                       {"limits", describe(most)},
                       {"limits_by_threads", std::move(limits)},
                       {"results", std::move(cases)}});
}

// Tells the caller of mica_bench how far it is; false: to stop.
struct Reporter {
  mica_bench_callback callback;
  void* user;

  bool operator()(Json so_far, std::string_view doing, uint64_t done, uint64_t total) const {
    if (!callback) return true;
    so_far["progress"] =
        Json::object({{"doing", doing}, {"done", Json(done)}, {"total", Json(total)}});
    const std::string text = so_far.dump();
    return callback(user, text.data(), text.size()) != 0;
  }
};

MicaFile open_model(const char* path, const mica_bench_options& options, const Reporter& report) {
  if (!options.synthetic) {
    return MicaFile::open(&required(path, "path"), parse_load_mode(options.load));
  }
  const auto progress = [&](uint64_t done, uint64_t total) {
    return report(Json::object(), "making the model", done, total);
  };
  return make_synthetic_model(options.synthetic, text_or(options.quant, "q4g32"), progress);
}

}  // namespace
}  // namespace mica

using namespace mica;

void mica_bench_options_init(mica_bench_options* options) {
  if (!options) return;
  *options = {.struct_size = sizeof *options,
              .prompts = {&kDefaultPrompt, 1},
              .depths = {&kDefaultDepth, 1},
              .batches = {&kDefaultOne, 1},
              .generated = 128,
              .repetitions = 5,
              .gpu_layers = -1};
}

mica_status mica_bench(const mica_engine_options* engine, const char* path,
                       const mica_bench_options* options, mica_bench_callback callback, void* user,
                       mica_text* json, mica_error* error) {
  return guarded(error, [&] {
    cleared(json, "json");
    const auto given = options_or_default(options, &mica_bench_options_init, "mica_bench_options");
    const auto shared =
        options_or_default(engine, &mica_engine_options_init, "mica_engine_options");
    const BenchmarkOptions request = benchmark_options(shared, given);
    const Reporter report{callback, user};
    const MicaFile file = open_model(path, given, report);
    const BenchmarkResult result =
        run_benchmark(file, request,
                      [&](const BenchmarkResult& so_far, std::string_view doing, uint64_t done,
                          uint64_t total) { return report(describe(so_far), doing, done, total); });
    hand_out(describe(result).dump(), json);
  });
}
