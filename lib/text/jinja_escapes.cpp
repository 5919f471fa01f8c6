#include "lib/text/jinja_escapes.h"

#include <charconv>
#include <fmt/format.h>

#include "lib/base/utf8.h"
#include "lib/text/jinja_budget.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

constexpr std::string_view kPlain = "\\'\"abfnrtv";
constexpr std::string_view kPlainValue = "\\'\"\a\b\f\n\r\t\v";

// Appends the code point written in `count` digits at `offset`, returns the offset behind them.
size_t append_number(std::string& out, std::string_view text, size_t offset, size_t count,
                     int base) {
  uint32_t value = 0;
  const std::string_view digits = text.substr(std::min(offset, text.size()), count);
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.size() < count || result.ptr != digits.data() + digits.size() || value > 0x10ffff) {
    fail(fmt::format("an escape in a string needs {} hexadecimal digits, found '{}'", count,
                     digits));
  }
  if (value >= 0xd800 && value <= 0xdfff) {
    refuse("half of a surrogate pair in a string has no UTF-8 form");
  }
  append_utf8(out, value);
  return offset + count;
}

}  // namespace

std::string unescape(std::string_view literal) {
  std::string out;
  for (size_t i = 0; i < literal.size();) {
    if (literal[i] != '\\') {
      out.push_back(literal[i++]);
      continue;
    }
    const char c = literal[++i];  // the lexer never ends a string behind a backslash
    const size_t plain = kPlain.find(c);
    if (c == '\n') {
      ++i;
    } else if (plain != kPlain.npos) {
      out.push_back(kPlainValue[plain]);
      ++i;
    } else if (c >= '0' && c <= '7') {
      size_t count = 1;
      while (count < 3 && i + count < literal.size() && (literal[i + count] & ~7) == '0') ++count;
      i = append_number(out, literal, i, count, 8);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      i = append_number(out, literal, i + 1, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
    } else if (c == 'N') {
      refuse("the escape '\\N' in a string is not supported");
    } else {
      out.push_back('\\');
      // jinja2 turns other characters into escapes of their own before it reads the escapes, so a
      // backslash in front of them leaves letters and digits behind.
      const Character next = character_at(literal, i);
      const auto value = static_cast<uint32_t>(next.value);
      if (value < 0x80) continue;
      out += value < 0x100     ? fmt::format("x{:02x}", value)
             : value < 0x10000 ? fmt::format("u{:04x}", value)
                               : fmt::format("U{:08x}", value);
      i += next.bytes;
    }
  }
  return out;
}

}  // namespace mica::jinja
