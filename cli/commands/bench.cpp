// mica bench: prefill and decode rates beside what this machine can do at most.
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "lib/base/json.h"
#include "lib/base/stopwatch.h"

namespace mica::cli {
namespace {

using Numbers = std::vector<int64_t>;
using Lines = std::vector<std::string>;

struct Options {
  OutputOptions output;
  EngineOptions engine;
  std::string model;
  std::string synthetic;
  std::string quant = "q4g32";
  std::string load = "map";
  Numbers threads, prompts = {512}, depths = {0}, batches = {1};
  int64_t generated = 128;
  int repetitions = 5;
  std::string kv = "f16";
  MemoryOptions memory;
};

// "38.1", "512"; "-" for what is not known.
std::string number(const Json& value, double scale = 1) {
  if (value.is_null()) return "-";
  const double scaled = value.as_number() * scale;
  return scaled < 100 ? fmt::format("{:.1f}", scaled) : fmt::format("{:.0f}", scaled);
}

Lines limit_lines(const Json& result) {
  const std::string size =
      human_bytes(static_cast<uint64_t>(result["model"]["weight_bytes"].as_integer()));
  const struct {
    const char* key;
    std::string title;
    const char* unit;
  } rows[] = {{"read_gb_per_second", "read from DRAM", "GB/s"},
              {"read_gb_per_second_at_model_size", "read " + size, "GB/s"},
              {"read_gb_per_second_from_cache", "read from cache", "GB/s"},
              {"int8_gops", "int8 products", "GOPS"},
              {"fma_gflops", "float products", "GFLOPS"}};
  std::string heading = fmt::format("{:<24}", "limits");
  for (const Json& limits : result["limits_by_threads"].as_array()) {
    heading += fmt::format("{:>12}", fmt::format("{} thr.", limits["threads"].as_integer()));
  }
  Lines lines = {heading};
  for (const auto& row : rows) {
    std::string line = fmt::format("  {:<22}", row.title);
    for (const Json& limits : result["limits_by_threads"].as_array()) {
      line += fmt::format("{:>12}", number(limits[row.key]));
    }
    lines.push_back(line + "  " + row.unit);
  }
  return lines;
}

std::string result_line(const Json& result) {
  const Json& rate = result["tokens_per_second"];
  const Json& share = result["share_of_limit"];
  const std::string spread =
      rate.is_null() ? "" : number(rate["min"]) + " .. " + number(rate["max"]);
  return fmt::format(
      "{:<8}{:>7}{:>8}{:>6}{:>5}{:>11}  {:<16}{:<14}{:>9}{:>10}", result["test"].as_string(),
      result["tokens"].as_integer(), result["depth"].as_integer(), result["batch"].as_integer(),
      result["threads"].as_integer(), rate.is_null() ? "" : number(rate["median"]), spread,
      share.is_null()
          ? ""
          : fmt::format("{:.0f} % of {}", 100 * share.as_number(), result["limit"].as_string()),
      number(result["bytes_per_token"], 1e-6), number(result["operations_per_token"], 1e-6));
}

// What the JSON says, for people; results without a measurement yet have empty columns.
Lines table(const Json& result) {
  const Json& machine = result["machine"];
  const Json& model = result["model"];
  Lines lines = {
      fmt::format("{}, {}, {} thread{} ({})", machine["cpu"].as_string(),
                  machine["isa"].as_string(), machine["threads"].as_integer(),
                  machine["threads"].as_integer() == 1 ? "" : "s", machine["why"].as_string()),
      fmt::format("{}: {} weights, {} KV", model["name"].as_string(), model["weights"].as_string(),
                  model["kv"].as_string())};
  for (const Json& place : model["places"].as_array()) lines.push_back(place.as_string());
  lines.emplace_back();
  for (std::string& line : limit_lines(result)) lines.push_back(std::move(line));
  lines.emplace_back();
  lines.push_back(fmt::format("{:<8}{:>7}{:>8}{:>6}{:>5}{:>11}  {:<16}{:<14}{:>9}{:>10}", "test",
                              "tokens", "depth", "batch", "thr.", "tokens/s", "min .. max", "share",
                              "MB/token", "Mop/token"));
  for (const Json& each : result["results"].as_array()) lines.push_back(result_line(each));
  return lines;
}

// The table as it grows, on a terminal's stderr; erased at the end.
class LiveTable {
 public:
  explicit LiveTable(bool quiet) : enabled_(!quiet && use_color(STDERR_FILENO)) {}
  ~LiveTable() { erase(); }

  void show(std::string_view json) {
    const bool first = shown_ == 0;
    if (!enabled_ || (!first && last_.seconds() < 0.1)) return;
    last_ = Stopwatch();
    const Json result = Json::parse(json, "result");
    Lines lines = result["machine"].is_null() ? Lines{} : table(result);
    lines.push_back(state(result["progress"]));
    erase();
    struct winsize window {};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    for (const std::string& line : lines) {  // a line that wraps could not be erased
      fmt::print(stderr, "{}\n", line.substr(0, known ? window.ws_col - 1 : 79));
    }
    std::fflush(stderr);
    shown_ = lines.size();
  }

 private:
  // The time left is foretold by how fast the present phase goes.
  std::string state(const Json& progress) {
    const std::string& doing = progress["doing"].as_string();
    if (doing != phase_) {
      phase_ = doing;
      since_ = Stopwatch();
    }
    const auto done = static_cast<double>(progress["done"].as_integer());
    const auto total = static_cast<double>(progress["total"].as_integer());
    const double seconds = since_.seconds();
    std::string line = doing;
    if (total > 1) line += fmt::format(" {:.0f} %", 100 * done / total);
    if (done > 0) line += fmt::format(", {} left", human_seconds(seconds * (total / done - 1)));
    return line;
  }
  void erase() {
    if (shown_ > 0) fmt::print(stderr, "\x1b[{}F\x1b[J", shown_);
    shown_ = 0;
  }

  bool enabled_;
  size_t shown_ = 0;  // lines
  std::string phase_;
  Stopwatch since_, last_;  // the phase began, and a table was shown
};

mica_numbers view(const Numbers& numbers) {
  return {numbers.data(), numbers.size()};
}

int run(const Options& options) {
  if (options.model.empty() == options.synthetic.empty()) {
    throw api::Failure(MICA_USAGE, "bench: expected either MODEL or --synthetic SIZE");
  }
  mica_bench_options request;
  mica_bench_options_init(&request);
  request.threads = view(options.threads);
  request.prompts = view(options.prompts);
  request.depths = view(options.depths);
  request.batches = view(options.batches);
  request.generated = options.generated;
  request.repetitions = options.repetitions;
  request.kv = options.kv.c_str();
  request.load = options.load.c_str();
  if (!options.synthetic.empty()) request.synthetic = options.synthetic.c_str();
  request.quant = options.quant.c_str();
  request.gpu_memory = static_cast<uint64_t>(options.memory.gpu_memory);
  request.gpu_layers = options.memory.gpu_layers;
  request.host_memory = static_cast<uint64_t>(options.memory.host_memory);
  std::string json;
  {
    LiveTable live(options.output.quiet);
    // A step of a large model takes seconds: who does not want to wait for it asks twice.
    const InterruptHandler on_interrupt([] {
      if (InterruptHandler::count() > 1) _exit(MICA_INTERRUPTED);
    });
    json = api::bench(to_api(options.engine, options.output), options.model, request,
                      [&](std::string_view so_far) {
                        live.show(so_far);
                        return InterruptHandler::count() == 0;
                      });
  }
  if (options.output.json) {
    fmt::print("{}\n", json);
  } else {
    for (const std::string& line : table(Json::parse(json, "result"))) fmt::print("{}\n", line);
  }
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  const auto add_numbers = [&](const char* name, Numbers& numbers, const char* help) {
    app.add_option(name, numbers, help)->delimiter(',')->allow_extra_args(false)->type_name("N,..");
  };
  app.add_option("MODEL", options->model, "A .mica file")->type_name("");
  app.add_option(
         "--synthetic", options->synthetic,
         "In place of MODEL random weights of the shape of Llama 3.2 1B or 3B, Llama 2 7B or\n"
         "13B, Llama 3.1 8B or 70B: 1b, 3b, 7b, 8b, 13b, 70b")
      ->type_name("SIZE");
  app.add_option("--quant", options->quant, "Weight type of --synthetic (default q4g32)")
      ->needs("--synthetic");
  add_numbers("-p,--prompt", options->prompts, "Tokens of a prefill (default 512); 0: none");
  app.add_option("-n,--max-tokens", options->generated,
                 "Tokens of a decode (default 128); 0: no decode");
  add_numbers("-d,--depth", options->depths, "Tokens held before a case begins (default 0)");
  add_numbers("-b,--batch", options->batches, "Sequences decoded together (default 1)");
  add_numbers("-t,--threads", options->threads,
              "Threads (default: cores this process may use; `mica doctor` says why)");
  app.add_option("-r,--repetitions", options->repetitions, "Runs of every case (default 5)");
  app.add_option("--kv", options->kv,
                 "Type of the KV cache: f16, bf16, int8 (half the memory), f32");
  declare_kernels(app, options->engine);
  declare_memory(app, options->memory);
  declare_load(app, options->load);
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_bench;
const Command kCommand_bench = {
    "bench", "Measure prefill and decode rates beside this machine's limits",
    "  mica bench model.mica\n"
    "  mica bench model.mica -p 512,4096 -d 0,4096 -t 1,2\n"
    "  mica bench model.mica -b 1,8 --isa avx2 --json\n"
    "  mica bench --synthetic 8b --quant q4g64 -n 32 -r 3\n\n"
    "Shares: prefill of the int8 (or float) peak, counting the layers' products;\n"
    "decode of the rate at which as many bytes as a step reads can be read. Both\n"
    "limits are measured after each run; a share is the median over the runs.",
    &declare};

}  // namespace mica::cli
