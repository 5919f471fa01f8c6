// mica generate: the raw continuation of a text, without a chat template.
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/results.h"
#include "cli/terminal.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  EngineOptions engine;
  ModelOptions model;
  SessionOptions session;
  SamplingOptions sampling;
  std::string prompt;
  bool prompt_given = false;
  bool json_stream = false;
  bool statistics = false;
  bool plain = false;
};

int run(Options& options) {
  const Stream stream = options.json_stream   ? Stream::kJsonLines
                        : options.output.json ? Stream::kJson
                                              : Stream::kText;
  if (!options.prompt_given && is_terminal(0)) {
    throw api::Failure(MICA_USAGE, "generate: expected -p TEXT or text on standard input");
  }
  const std::string prompt = options.prompt_given ? options.prompt : read_standard_input();
  const api::Engine engine(to_api(options.engine, options.output));
  const api::Model model = load(engine, options.model);
  api::Session session = model.session(to_api(options.session));
  const InterruptHandler on_interrupt([&] { session.cancel(); });
  const uint32_t flags = options.plain ? uint32_t{MICA_PLAIN} : 0;
  const std::string json =
      session.generate(prompt, flags, to_api(options.sampling), piece_printer(stream));
  const int status = finish_output(stream, json);
  if (options.statistics) print_statistics(Json::parse(json, "result"));
  return status;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_model(app, options->model);
  app.add_option_function<std::string>(
      "-p,--prompt",
      [options = options.get()](const std::string& text) {
        options->prompt = text;
        options->prompt_given = true;
      },
      "The text to continue (default: standard input)");
  declare_sampling(app, options->sampling);
  declare_session(app, options->session);
  declare_engine(app, options->engine);
  declare_output(app, options->output);
  app.add_flag("--json-stream", options->json_stream, "Print a JSON line a piece of text");
  app.add_flag("--stats", options->statistics, "Print rates on standard error at the end");
  app.add_flag("--plain", options->plain, "Special tokens' spellings in the prompt are plain text");
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_generate;
const Command kCommand_generate = {"generate", "Continue a text",
                                   "  mica generate model.mica -p \"Once upon a time\" -n 100\n"
                                   "  mica generate model.mica --temp 0 --json < prompt.txt",
                                   &declare};

}  // namespace mica::cli
