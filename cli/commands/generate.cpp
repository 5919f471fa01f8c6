// mica generate: the raw continuation of a text, without a chat template.
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/results.h"
#include "cli/terminal.h"

namespace mica::cli {
namespace {

struct Options : GenerationOptions {
  bool plain = false;
};

int run(Options& options) {
  if (!options.prompt && is_terminal(0)) {
    throw api::Failure(MICA_USAGE, "generate: expected -p TEXT or text on standard input");
  }
  const std::string prompt = options.prompt ? *options.prompt : read_standard_input();
  api::Session session = open_session(options);
  const InterruptHandler on_interrupt([&] { session.cancel(); });
  const uint32_t flags = options.plain ? uint32_t{MICA_PLAIN} : 0;
  const Stream stream = stream_of(options);
  const std::string json =
      session.generate(prompt, flags, to_api(options.sampling), piece_printer(stream));
  return finish_output(stream, json, options.statistics);
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_generation(app, *options, "The text to continue (default: standard input)");
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
