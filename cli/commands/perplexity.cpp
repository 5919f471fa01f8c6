// mica perplexity: perplexity and KL divergence, measured as llama-perplexity measures them.
#include <fmt/core.h>
#include <optional>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  EngineOptions engine;
  ModelOptions model;
  std::string text_file;
  int64_t context = 512;
  int64_t windows = 0;
  std::string kv = "f16";
  std::string kl_base;
  std::string save_kl_base;
  std::string reference;
  std::vector<std::string> task;  // kind, file
};

// The rows of the table of KL and probability difference, and their keys.
constexpr std::pair<const char*, const char*> kQuantiles[] = {
    {"maximum", "max"}, {"99.9 %", "p99_9"},  {"99 %", "p99"},   {"95 %", "p95"}, {"90 %", "p90"},
    {"75 %", "p75"},    {"median", "median"}, {"25 %", "p25"},   {"10 %", "p10"}, {"5 %", "p5"},
    {"1 %", "p1"},      {"0.1 %", "p0_1"},    {"minimum", "min"}};

// `scale`: 100 for a share in per cent.
void print_estimate(const char* label, const Json& json, const std::string& key, double scale = 1,
                    const char* unit = "") {
  fmt::print("{:<17}{:.4f} +- {:.4f}{}\n", label, scale * json[key].as_number(),
             scale * json[key + "_se"].as_number(), unit);
}

void print_kl(const Json& result) {
  print_estimate("base perplexity", result, "base_perplexity");
  print_estimate("perplexity ratio", result, "perplexity_ratio");
  fmt::print("{:<17}{:.4f} % (of log-probabilities)\n", "correlation",
             100 * result["log_correlation"].as_number());
  print_estimate("same top token", result, "top1_agreement", 100, " %");
  const Json& kl = result["kl"];
  const Json& difference = result["probability_difference"];
  fmt::print("\n{:<10}{:>22}{:>30}\n", "", "KL divergence", "difference of probability");
  fmt::print("{:<10}{:>10.6f} +- {:.6f}{:>16.3f} +- {:.3f} %\n", "mean", kl["mean"].as_number(),
             kl["se"].as_number(), 100 * difference["mean"].as_number(),
             100 * difference["se"].as_number());
  fmt::print("{:<32}{:>16.3f} +- {:.3f} %\n", "root mean square",
             100 * difference["rms"].as_number(), 100 * difference["rms_se"].as_number());
  for (const auto& [label, key] : kQuantiles) {
    fmt::print("{:<10}{:>10.6f}{:>28.3f} %\n", label, kl[key].as_number(),
               100 * difference[key].as_number());
  }
}

void print_layers(const Json& layers) {
  fmt::print("\nlayer  relative error of its output   greatest\n");
  int index = 0;
  for (const Json& layer : layers.as_array()) {
    fmt::print("{:>5}  {:.6f} +- {:.6f}          {:>10.6f}\n", index++,
               layer["relative_error"].as_number(), layer["relative_error_se"].as_number(),
               layer["max"].as_number());
  }
}

void print_result(const Json& result) {
  if (!result["items"].is_null()) {
    fmt::print("{:<17}{}\n", "items", result["items"].as_integer());
    print_estimate("accuracy", result, "accuracy", 100, " %");
    if (result.find("accuracy_norm")) {
      print_estimate("per byte", result, "accuracy_norm", 100, " %");
    } else {
      print_estimate("perplexity", result, "perplexity");
    }
    return;
  }
  print_estimate("perplexity", result, "perplexity");
  fmt::print("{:<17}{}\n{:<17}{}\n", "windows", result["windows"].as_integer(), "scored tokens",
             result["scored_tokens"].as_integer());
  if (!result["kl"].is_null()) print_kl(result);
  if (!result["layers"].is_null()) print_layers(result["layers"]);
}

int run(const Options& options) {
  const std::string& file = options.task.empty() ? options.text_file : options.task[1];
  if (file.empty() && options.kl_base.empty()) {
    throw api::Failure(MICA_USAGE,
                       "perplexity: expected -f TEXT, --kl-base FILE or --task KIND FILE");
  }
  const std::string text = file.empty() ? "" : read_input(file);
  const api::Engine engine(to_api(options.engine, options.output));
  const api::Model model = load(engine, options.model);
  mica_perplexity_options request;
  mica_perplexity_options_init(&request);
  if (!file.empty()) {
    request.text = text.data();
    request.text_size = text.size();
  }
  request.context = options.context;
  request.windows = options.windows;
  request.kv = options.kv.c_str();
  if (!options.kl_base.empty()) request.kl_base = options.kl_base.c_str();
  if (!options.save_kl_base.empty()) request.save_kl_base = options.save_kl_base.c_str();
  if (!options.task.empty()) request.task = options.task[0].c_str();
  std::optional<api::Model> reference;
  if (!options.reference.empty()) {
    ModelOptions same = options.model;
    same.path = options.reference;
    reference = load(engine, same);
    request.reference = reference->handle();
  }
  std::string json;
  {
    ProgressBar bar(options.task.empty() ? "Scoring windows" : "Scoring lines",
                    ProgressBar::Unit::kItems, options.output.quiet);
    const InterruptHandler on_interrupt({});
    json = model.perplexity(request, [&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return InterruptHandler::count() == 0;
    });
  }
  if (options.output.json) {
    fmt::print("{}\n", json);
  } else {
    print_result(Json::parse(json, "result"));
  }
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_model(app, options->model);
  auto* text = app.add_option("-f,--file", options->text_file, "Text to score; - is standard input")
                   ->type_name("FILE");
  app.add_option("-c,--ctx", options->context, "Tokens in a window")
      ->check(whole_number(8, 1 << 20));
  app.add_option("--windows", options->windows, "Windows or lines to score (default: all)")
      ->check(whole_number(1));
  app.add_option("--kl-base", options->kl_base, "Compare with the logits of this base file")
      ->type_name("FILE");
  app.add_option("--save-kl-base", options->save_kl_base, "Write the logits to a base file")
      ->type_name("FILE");
  app.add_option("--layers", options->reference,
                 "Compare the output of each layer with this model's (a .mica file)")
      ->type_name("REFERENCE");
  app.add_option(
         "--task", options->task,
         "Score JSON lines instead of a text. lambada: {\"text\"}, whose last word is to be "
         "found. choices: {\"context\", \"choices\": [...], \"answer\": index from 0}, "
         "joined by one space; accuracy by the sum of log-probabilities and by that per "
         "byte, as lm-evaluation-harness's acc and acc_norm")
      ->expected(2)
      ->type_name("KIND FILE")
      ->excludes(text);
  app.add_option("--kv", options->kv,
                 "Type of the KV cache: f16, bf16, int8 (half the memory), f32");
  declare_engine(app, options->engine);
  declare_memory(app, options->model.memory);
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_perplexity;
const Command kCommand_perplexity = {
    "perplexity", "Measure perplexity on a text or task, and KL divergence from another model",
    "  mica perplexity model.mica -f wiki.test.raw\n"
    "  mica perplexity f32.mica -f wiki.test.raw --save-kl-base base.kld\n"
    "  mica perplexity q4.mica --kl-base base.kld\n"
    "  mica perplexity q4.mica -f wiki.test.raw --windows 8 --layers f32.mica\n"
    "  mica perplexity q4.mica --task choices questions.jsonl",
    &declare};

}  // namespace mica::cli
