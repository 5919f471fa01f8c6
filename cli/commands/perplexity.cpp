// mica perplexity: perplexity and KL divergence, measured as llama-perplexity measures them.
#include <fmt/core.h>

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
};

void print_result(const Json& result) {
  fmt::print("perplexity       {:.4f} +- {:.4f}\n", result["perplexity"].as_number(),
             result["perplexity_se"].as_number());
  fmt::print("windows          {}\nscored tokens    {}\n", result["windows"].as_integer(),
             result["scored_tokens"].as_integer());
  const Json& kl = result["kl"];
  if (kl.is_null()) return;
  fmt::print("perplexity ratio {:.4f}\n", result["perplexity_ratio"].as_number());
  fmt::print("mean KL          {:.6f} +- {:.6f}\n", kl["mean"].as_number(), kl["se"].as_number());
  fmt::print("99 % KL, max     {:.6f}, {:.6f}\n", kl["p99"].as_number(), kl["max"].as_number());
  fmt::print("same top token   {:.2f} %\n", 100 * result["top1_agreement"].as_number());
}

int run(const Options& options) {
  if (options.text_file.empty() && options.kl_base.empty()) {
    throw api::Failure(MICA_USAGE, "perplexity: expected -f TEXT or --kl-base FILE");
  }
  const std::string text = options.text_file.empty() ? "" : read_input(options.text_file);
  const api::Engine engine(to_api(options.engine, options.output));
  const api::Model model = load(engine, options.model);
  mica_perplexity_options request;
  mica_perplexity_options_init(&request);
  if (!options.text_file.empty()) {
    request.text = text.data();
    request.text_size = text.size();
  }
  request.context = options.context;
  request.windows = options.windows;
  request.kv = options.kv.c_str();
  if (!options.kl_base.empty()) request.kl_base = options.kl_base.c_str();
  if (!options.save_kl_base.empty()) request.save_kl_base = options.save_kl_base.c_str();
  std::string json;
  {
    ProgressBar bar("Scoring windows", ProgressBar::Unit::kItems, options.output.quiet);
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
  app.add_option("-f,--file", options->text_file, "Text to score; - is standard input")
      ->type_name("FILE");
  app.add_option("-c,--ctx", options->context, "Tokens in a window")
      ->check(whole_number(8, 1 << 20));
  app.add_option("--windows", options->windows, "Windows to score (default: all)")
      ->check(whole_number(1));
  app.add_option("--kl-base", options->kl_base, "Compare with the logits of this base file")
      ->type_name("FILE");
  app.add_option("--save-kl-base", options->save_kl_base, "Write the logits to a base file")
      ->type_name("FILE");
  app.add_option("--kv", options->kv,
                 "Type of the KV cache: f16, bf16, int8 (half the memory), f32");
  declare_engine(app, options->engine);
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_perplexity;
const Command kCommand_perplexity = {
    "perplexity", "Measure perplexity on a text, and KL divergence from another model",
    "  mica perplexity model.mica -f wiki.test.raw\n"
    "  mica perplexity f32.mica -f wiki.test.raw --save-kl-base base.kld\n"
    "  mica perplexity q4.mica --kl-base base.kld",
    &declare};

}  // namespace mica::cli
