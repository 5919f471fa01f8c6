#include "cli/results.h"

#include <fmt/core.h>

#include "cli/terminal.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

// One line on stderr: tokens, rates.
void print_statistics(const Json& result) {
  const Json& timings = result["timings"];
  const size_t tokens = result["tokens"].as_array("tokens").size();
  fmt::print(stderr, "[{} prompt tokens at {:.0f}/s, {} tokens at {:.1f}/s, {}]\n",
             result["prompt_tokens"].as_integer(), timings["prefill_tokens_per_second"].as_number(),
             tokens, timings["decode_tokens_per_second"].as_number(),
             result["finish_reason"].as_string());
}

}  // namespace

void declare_generation(CLI::App& app, GenerationOptions& options, const std::string& prompt_help) {
  declare_model(app, options.model);
  app.add_option("-p,--prompt", options.prompt, prompt_help);
  declare_sampling(app, options.sampling);
  declare_session(app, options.session);
  declare_engine(app, options.engine);
  declare_memory(app, options.model.memory);
  declare_output(app, options.output);
  app.add_flag("--json-stream", options.json_stream, "Print a JSON line a piece of text");
  app.add_flag("--stats", options.statistics, "Print rates on standard error after each answer");
}

api::Session open_session(GenerationOptions& options) {
  const api::Engine engine(to_api(options.engine, options.output));
  return load(engine, options.model, options.session).session(to_api(options.session));
}

Stream stream_of(const GenerationOptions& options) {
  if (options.json_stream) return Stream::kJsonLines;
  return options.output.json ? Stream::kJson : Stream::kText;
}

api::TokenCallback piece_printer(Stream stream) {
  switch (stream) {
    case Stream::kText:
      // A closed pipe stops the generation.
      return [](std::string_view piece, int32_t) { return print_text(piece); };
    case Stream::kJsonLines:
      return [](std::string_view piece, int32_t id) {
        const Json line = Json::object({{"piece", piece}, {"token", int64_t{id}}});
        fmt::print("{}\n", line.dump());
        return std::fflush(stdout) == 0;
      };
    case Stream::kJson:
      break;
  }
  return nullptr;
}

int finish_output(Stream stream, const std::string& json, bool statistics) {
  if (stream == Stream::kText) {
    end_text();
  } else {
    fmt::print("{}\n", json);
  }
  if (std::fflush(stdout) != 0) {
    throw api::Failure(MICA_RUNTIME, "standard output: cannot write all of the text");
  }
  const Json result = Json::parse(json, "result");
  if (statistics) print_statistics(result);
  return result["finish_reason"] == Json("cancelled") ? MICA_INTERRUPTED : MICA_OK;
}

}  // namespace mica::cli
