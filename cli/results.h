// What generate and chat share: their options, streaming text to standard output, and reporting how
// it went.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/options.h"

namespace mica::cli {

struct GenerationOptions {
  OutputOptions output;
  EngineOptions engine;
  ModelOptions model;
  SessionOptions session;
  SamplingOptions sampling;
  std::optional<std::string> prompt;  // -p
  bool json_stream = false;
  bool statistics = false;
};
void declare_generation(CLI::App& app, GenerationOptions& options, const std::string& prompt_help);
api::Session open_session(GenerationOptions& options);

// How the pieces of a generation reach standard output.
enum class Stream {
  kText,       // as they come
  kJson,       // nothing until the end: one object
  kJsonLines,  // {"piece", "token"} a line, then the object
};

Stream stream_of(const GenerationOptions& options);

// Prints pieces; give it to generate() or chat().
api::TokenCallback piece_printer(Stream stream);

// Prints what is due at the end: a newline after text or the JSON object, and statistics on stderr
// if they are asked for. Returns the exit code: 0, or 130 when the generation was cancelled.
int finish_output(Stream stream, const std::string& json, bool statistics);

}  // namespace mica::cli
