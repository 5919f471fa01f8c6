// mica plan: what of a model goes where in memory, before anything is loaded.
#include <algorithm>
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

using Lines = std::vector<std::string>;
using Words = std::vector<std::string>;

struct Options {
  OutputOptions output;
  EngineOptions engine;
  MemoryOptions memory;
  std::string model;
  Words synthetic, quants;
  std::string embedding_quant;
  std::string load = "map";
  std::string kv = "f16";
  int64_t context = 0;  // -1: fewer where memory needs it
  int prefill_chunk = 0;
  bool default_rates = false;
};

// Kinds of memory in the order of a table, and how they are called there.
constexpr std::pair<const char*, const char*> kKinds[] = {
    {"weights", "weights"},   {"kv", "keys and values"},  {"activations", "activations"},
    {"logits", "logits"},     {"workspace", "workspace"}, {"ring", "streaming slots"},
    {"staging", "on the way"}};

std::string bytes(const Json& value) {
  return human_bytes(static_cast<uint64_t>(value.as_integer()));
}

std::string budget(const Json& value) {
  return value.is_null() ? "no limit" : bytes(value);
}

// Text in lines of at most 78 columns, those after the first indented.
void add_wrapped(Lines& lines, const std::string& text, size_t indent) {
  constexpr size_t kColumns = 78;
  std::string rest = text;
  while (rest.size() > kColumns) {
    size_t cut = rest.rfind(' ', kColumns);
    if (cut == std::string::npos || cut <= indent) break;
    lines.push_back(rest.substr(0, cut));
    rest = std::string(indent, ' ') + rest.substr(cut + 1);
  }
  lines.push_back(rest);
}

void add_table(Lines& lines, const Json& plan) {
  const Json::Array& devices = plan["devices"].as_array();
  const auto add_row = [&](const std::string& title, const auto& cell) {
    std::string line = fmt::format("{:<18}", title);
    for (const Json& device : devices) line += fmt::format("{:>16}", cell(device));
    lines.push_back(line);
  };
  add_row("memory", [](const Json& device) { return device["name"].as_string(); });
  for (const auto& [key, title] : kKinds) {
    const bool is_used = std::any_of(devices.begin(), devices.end(), [&](const Json& device) {
      return device["by_kind"][key].as_integer() > 0;
    });
    if (!is_used) continue;
    add_row(std::string("  ") + title, [&](const Json& device) {
      return device["by_kind"][key].as_integer() == 0 ? "-" : bytes(device["by_kind"][key]);
    });
  }
  add_row("used", [](const Json& device) { return bytes(device["used_bytes"]); });
  add_row("of", [](const Json& device) { return budget(device["budget_bytes"]); });
  if (devices[0]["mapped_bytes"].as_integer() == 0) return;
  add_row("mapped weights", [](const Json& device) {
    return device["mapped_bytes"].as_integer() == 0 ? "-" : bytes(device["mapped_bytes"]);
  });
}

// "layers 0 .. 11   host       1.9 GiB"
void add_runs(Lines& lines, const Json& plan) {
  const Json::Array& layers = plan["layers"].as_array();
  lines.push_back(fmt::format("{:<18}{}", "embedding", plan["embedding"].as_string()));
  for (size_t first = 0, end; first < layers.size(); first = end) {
    int64_t sum = 0;
    for (end = first; end < layers.size() &&
                      layers[end]["device"].as_string() == layers[first]["device"].as_string();
         ++end)
      sum += layers[end]["bytes"].as_integer();
    lines.push_back(
        fmt::format("{:<18}{:<16}{:>16}", fmt::format("layers {} .. {}", first, end - 1),
                    layers[first]["device"].as_string(), human_bytes(static_cast<uint64_t>(sum))));
  }
  lines.push_back(fmt::format("{:<18}{}", "norm and head", plan["head"].as_string()));
}

// "31.9", "2570": no more digits than are worth reading.
std::string rate(const Json& tokens_per_second) {
  const double value = tokens_per_second.as_number();
  return fmt::format("{:.{}f}", value, value < 100 ? 1 : 0);
}

void add_prediction(Lines& lines, const Json& plan) {
  const Json& predicted = plan["predicted"];
  const Json& rates = plan["rates"];
  add_wrapped(lines,
              fmt::format("Predicted: a prompt of {} tokens at {} tokens/s, answers at {} "
                          "tokens/s ({} rates of the host: {:.1f} GB/s, {:.0f} GOPS)",
                          predicted["prompt_tokens"].as_integer(),
                          rate(predicted["prefill_tokens_per_second"]),
                          rate(predicted["decode_tokens_per_second"]), rates["source"].as_string(),
                          rates["read_gb_per_second"].as_number(), rates["int8_gops"].as_number()),
              2);
  if (plan["streaming"].is_null()) return;
  add_wrapped(lines,
              fmt::format("Prompts of {} tokens and more stream the host's layers to the device, "
                          "{} tokens at a time.",
                          plan["streaming"]["from_tokens"].as_integer(),
                          plan["streaming"]["tokens"].as_integer()),
              2);
}

Lines report(const Json& plan) {
  const Json& model = plan["model"];
  Lines lines = {fmt::format("{}: {:.2f} billion parameters in {}, {} of weights",
                             model["name"].as_string(), model["parameters"].as_number() / 1e9,
                             model["weights"].as_string(), bytes(model["weight_bytes"])),
                 fmt::format("context {}, keys and values {}, prompts in steps of {}",
                             plan["context"].as_integer(), plan["kv"].as_string(),
                             plan["prefill_chunk"].as_integer()),
                 ""};
  add_table(lines, plan);
  lines.emplace_back();
  add_runs(lines, plan);
  lines.emplace_back();
  for (const Json& device : plan["devices"].as_array()) {
    if (device["imaginary"].as_bool())
      add_wrapped(lines,
                  "The device is imaginary: this machine has none. Its rates are those of a small "
                  "card, its workspace is a guess.",
                  2);
  }
  for (const Json& sentence : plan["concessions"].as_array())
    add_wrapped(lines, "Conceded: " + sentence.as_string(), 2);
  if (plan["fits"].as_bool()) {
    add_prediction(lines, plan);
  } else {
    add_wrapped(lines, "It does not fit. " + plan["deficit"].as_string(), 2);
  }
  add_wrapped(lines,
              fmt::format("All in all {}; the rule of thumb (parameters x bytes x 1.2) says {}.",
                          bytes(plan["needed_bytes"]), bytes(plan["rule_of_thumb_bytes"])),
              2);
  return lines;
}

std::string plan_of(const Options& options, const std::string& synthetic,
                    const std::string& quant) {
  mica_plan_options request;
  mica_plan_options_init(&request);
  request.model.load = options.load.c_str();
  to_api(options.memory, request.model);
  request.model.context = options.context;
  request.model.kv = options.kv.c_str();
  request.model.prefill_chunk = options.prefill_chunk;
  if (!quant.empty()) request.quant = quant.c_str();
  if (!options.embedding_quant.empty()) request.embedding_quant = options.embedding_quant.c_str();
  if (!synthetic.empty()) request.synthetic = synthetic.c_str();
  request.default_rates = options.default_rates;
  return api::plan(to_api(options.engine, options.output), options.model, request);
}

// Several models or types: what each needs in all.
int run_table(const Options& options, const Words& models, const Words& quants) {
  if (options.output.json)
    throw api::Failure(MICA_USAGE, "plan: expected one model and one type with --json, found more");
  std::string heading = fmt::format("{:<10}", "");
  for (const std::string& quant : quants) heading += fmt::format("{:>12}", quant);
  fmt::print("{}\n", heading);
  for (const std::string& model : models) {
    std::string line = fmt::format("{:<10}", model.empty() ? "model" : model);
    for (const std::string& quant : quants) {
      const Json plan = Json::parse(plan_of(options, model, quant), "plan");
      line += fmt::format("{:>12}", bytes(plan["needed_bytes"]));
    }
    fmt::print("{}\n", line);
  }
  return MICA_OK;
}

int run(const Options& options) {
  if (options.model.empty() == options.synthetic.empty())
    throw api::Failure(MICA_USAGE, "plan: expected either MODEL or --synthetic SIZE");
  const Words models = options.synthetic.empty() ? Words{""} : options.synthetic;
  const Words quants = options.quants.empty() ? Words{""} : options.quants;
  if (models.size() > 1 || quants.size() > 1) return run_table(options, models, quants);
  const std::string json = plan_of(options, models[0], quants[0]);
  const Json plan = Json::parse(json, "plan");
  if (options.output.json) {
    fmt::print("{}\n", json);
  } else {
    for (const std::string& line : report(plan)) fmt::print("{}\n", line);
  }
  return plan["fits"].as_bool() ? MICA_OK : MICA_DOES_NOT_FIT;
}

void declare_what(CLI::App& app, Options& options) {
  app.add_option("MODEL", options.model,
                 "A .mica file, or what convert takes: then planned as converted")
      ->type_name("");
  app.add_option(
         "--synthetic", options.synthetic,
         "In place of MODEL the shape of Llama 3.2 1B, 3B, 2 7B, 3.1 8B, 2 13B or 3.1 70B:\n"
         "1b, 3b, 7b, 8b, 13b, 70b; several give a table")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("SIZE,..");
  app.add_option("--quant", options.quants,
                 "Type to convert to, as in convert; several give a table")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("TYPE,..");
  app.add_option("--embedding-quant", options.embedding_quant,
                 "Type of embedding and head, as in convert");
}

void declare_wishes(CLI::App& app, Options& options) {
  app.add_option_function<std::string>(
         "-c,--ctx",
         [&options](const std::string& text) {
           options.context = text == "auto" ? -1 : parse_size(text);
         },
         "Context in tokens (default: the model's for short texts, 8192 at most); auto: that, or "
         "fewer where memory needs it")
      ->type_name("SIZE");
  app.add_option("--kv", options.kv,
                 "Type of the KV cache: f16, bf16, int8 (half the memory), f32; auto: f16, or "
                 "int8 where memory needs it");
  app.add_option("--prefill-chunk", options.prefill_chunk,
                 "Prompt tokens a step (default: 512, or fewer where memory needs it)")
      ->check(whole_number(1, 8192));
  declare_memory(app, options.memory);
  declare_load(app, options.load);
  app.add_flag("--default-rates", options.default_rates,
               "Predict by default rates of the host instead of measuring them (0.1 s)");
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_what(app, *options);
  declare_wishes(app, *options);
  declare_engine(app, options->engine);
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_plan;
const Command kCommand_plan = {
    "plan", "Say what of a model goes where in memory, before anything is loaded",
    "  mica plan model.mica\n"
    "  mica plan model.mica --gpu-memory 8G --ctx 32K --kv auto\n"
    "  mica plan ~/models/Llama-3.2-1B --quant q4g64 --json\n"
    "  mica plan --synthetic 1b,7b,13b,70b --quant f32,f16,q8g32,q4g32\n\n"
    "Without a device, --gpu-memory plans for an imaginary one of that size. The exit\n"
    "code is 4 where the model does not fit.",
    &declare};

}  // namespace mica::cli
