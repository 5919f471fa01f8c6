// mica tokenize: text to token ids.
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  ModelOptions model;
  std::optional<std::string> prompt;
  std::string file = "-";
  bool plain = false;
  bool no_special = false;
};

int run(const Options& options) {
  const api::Engine engine(to_api(EngineOptions{.device = "cpu"}, options.output));
  const api::Model model = load(engine, options.model);
  const uint32_t flags = (options.plain ? uint32_t{MICA_PLAIN} : 0) |
                         (options.no_special ? uint32_t{MICA_NO_SPECIAL} : 0);
  const std::string given = options.prompt ? *options.prompt : read_input(options.file);
  const std::vector<int32_t> ids = model.tokenize(given, flags);
  if (options.output.json) {
    fmt::print("{}\n", Json::object({{"ids", Json::array(ids)}}).dump());
    return MICA_OK;
  }
  std::string text;
  for (const int32_t id : ids) text += std::to_string(id) + "\n";
  fmt::print("{}", text);
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_model(app, options->model);
  auto* prompt = app.add_option("-p,--prompt", options->prompt, "The text to tokenize");
  app.add_option("-f,--file", options->file, "Read this file (default: standard input)")
      ->type_name("FILE")
      ->excludes(prompt);
  app.add_flag("--plain", options->plain, "Special tokens' spellings are plain text");
  app.add_flag("--no-special", options->no_special, "Add no special tokens such as BOS");
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_tokenize;
const Command kCommand_tokenize = {"tokenize", "Turn text into token ids",
                                   "  mica tokenize model.mica -p \"Hello, world\"\n"
                                   "  echo -n \"Hello, world\" | mica tokenize model.mica\n"
                                   "  mica tokenize model.mica -f book.txt --json",
                                   &declare};

}  // namespace mica::cli
