// Splits a template into tokens, with trim_blocks and lstrip_blocks on, as jinja2's lexer does.
//
// Comments are dropped, raw blocks are plain data, string escapes are resolved, line ends are "\n"
// and a last one is dropped. Throws Failure; the line it happened on is in *line.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mica::jinja {

enum class TokenKind {
  kData,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  std::string text;  // data, name, string (unescaped) or operator
  int64_t integer = 0;
  double number = 0;
};

std::vector<Token> tokenize(std::string_view source, int* line);

}  // namespace mica::jinja
