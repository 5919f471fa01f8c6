#include "cli/results.h"

#include <fmt/core.h>

namespace mica::cli {

api::TokenCallback piece_printer(Stream stream) {
  switch (stream) {
    case Stream::kText:
      return [](std::string_view piece, int32_t) {
        std::fwrite(piece.data(), 1, piece.size(), stdout);
        return std::fflush(stdout) == 0;  // a closed pipe stops the generation
      };
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

int finish_output(Stream stream, const std::string& json) {
  if (stream == Stream::kText) {
    fmt::print("\n");
  } else {
    fmt::print("{}\n", json);
  }
  if (std::fflush(stdout) != 0) {
    throw api::Failure(MICA_RUNTIME, "standard output: cannot write all of the text");
  }
  const Json result = Json::parse(json, "result");
  return result["finish_reason"] == Json("cancelled") ? MICA_INTERRUPTED : MICA_OK;
}

void print_statistics(const Json& result) {
  const Json& timings = result["timings"];
  const size_t tokens = result["tokens"].as_array("tokens").size();
  fmt::print(stderr, "[{} prompt tokens at {:.0f}/s, {} tokens at {:.1f}/s, {}]\n",
             result["prompt_tokens"].as_integer(), timings["prefill_tokens_per_second"].as_number(),
             tokens, timings["decode_tokens_per_second"].as_number(),
             result["finish_reason"].as_string());
}

}  // namespace mica::cli
