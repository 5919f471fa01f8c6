// What generate and chat share: streaming text to standard output and reporting how it went.
#pragma once

#include <string>
#include <string_view>

#include "cli/options.h"
#include "lib/base/json.h"

namespace mica::cli {

// How the pieces of a generation reach standard output.
enum class Stream {
  kText,       // as they come
  kJson,       // nothing until the end: one object
  kJsonLines,  // {"piece", "token"} a line, then the object
};

// Prints pieces; give it to generate() or chat().
api::TokenCallback piece_printer(Stream stream);

// Prints what is due at the end: a newline after text, or the JSON object. Returns the exit code:
// 0, or 130 when the generation was cancelled.
int finish_output(Stream stream, const std::string& json);

// One line on stderr: tokens, rates, seconds.
void print_statistics(const Json& result);

}  // namespace mica::cli
