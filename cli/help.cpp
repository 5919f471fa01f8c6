#include "cli/help.h"

#include <algorithm>

namespace mica::cli {
namespace {

constexpr size_t kColumns = 80;
constexpr size_t kIndent = 26;  // where descriptions begin

// What an option takes. CLI11 writes checks behind a colon: "TEXT:{map,read}", "INT:INT in [1 -
// 8]".
std::string value_name(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t colon = type.find(':');
  if (colon == type.npos) return type;
  return type[colon + 1] == '{' ? type.substr(colon + 1) : type.substr(0, colon);
}

}  // namespace

// With the program's name before the command's.
std::string Help::make_usage(const CLI::App* app, std::string name) const {
  return "\n" + CLI::Formatter::make_usage(app, "mica " + name);
}

std::string Help::make_option(const CLI::Option* option, bool is_positional) const {
  std::string text = "  " + option->get_name(is_positional, !is_positional);
  const std::string value = value_name(*option);
  if (!value.empty()) text += " " + value;
  size_t column = text.size();
  if (column + 2 > kIndent) column = kColumns;  // the description begins on the next line
  const std::string& words = option->get_description();
  for (size_t begin = 0, end; begin < words.size(); begin = end + 1) {
    end = std::min(words.find(' ', begin), words.size());
    if (column + 1 + (end - begin) > kColumns) {
      text += "\n";
      column = 0;
    }
    text.append(column < kIndent ? kIndent - column : 1, ' ');
    text += words.substr(begin, end - begin);
    column = std::max(column + 1, kIndent) + (end - begin);
  }
  return text + "\n";
}

}  // namespace mica::cli
