// mica detokenize: token ids on standard input to text.
#include <charconv>
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  ModelOptions model;
  std::string file = "-";
  bool no_special = false;
};

bool is_separator(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',' || c == '[' || c == ']';
}

// Numbers separated by white space or commas, or the object that `tokenize --json` prints.
std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  const size_t first = text.find_first_not_of(" \n\t\r");
  if (first != std::string::npos && text[first] == '{') {
    try {
      const Json object = Json::parse(text, "the ids given");
      for (const Json& id : object["ids"].as_array("ids")) {
        ids.push_back(checked_cast<int32_t>(id.as_integer("ids"), "ids"));
      }
    } catch (const Error& error) {
      throw api::Failure(MICA_USAGE, error.message());
    }
    return ids;
  }
  for (const char *at = text.data(), *end = at + text.size(); at != end;) {
    if (is_separator(*at)) {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && !is_separator(*next))) {
      throw api::Failure(
          MICA_USAGE, fmt::format("the ids given: byte {}: expected a token id", at - text.data()));
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

int run(const Options& options) {
  const api::Engine engine(to_api(EngineOptions{.device = "cpu"}, options.output));
  const api::Model model = load(engine, options.model);
  const std::string text = model.detokenize(parse_ids(read_input(options.file)),
                                            options.no_special ? uint32_t{MICA_NO_SPECIAL} : 0);
  if (options.output.json) {
    fmt::print("{}\n", Json::object({{"text", text}}).dump());
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_model(app, options->model);
  app.add_option("-f,--file", options->file, "Read this file (default: standard input)")
      ->type_name("FILE");
  app.add_flag("--no-special", options->no_special, "Leave special tokens out of the text");
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_detokenize;
const Command kCommand_detokenize = {
    "detokenize", "Turn token ids into text",
    "  echo 19556 28 905 | mica detokenize model.mica\n"
    "  mica tokenize model.mica -f book.txt | mica detokenize model.mica",
    &declare};

}  // namespace mica::cli
