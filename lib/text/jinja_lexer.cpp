#include "lib/text/jinja_lexer.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "lib/base/utf8.h"
#include "lib/text/jinja_budget.h"
#include "lib/text/jinja_escapes.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string with_plain_newlines(std::string_view source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out.push_back(source[i]);
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, int& line) : source_(with_plain_newlines(source)), line_(line) {
    rest_ = source_;
  }

  std::vector<Token> run() {
    while (at_ < rest_.size()) read_root();
    push(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view ahead(size_t offset) const {
    return rest_.substr(std::min(offset, rest_.size()));
  }
  char peek(size_t offset = 0) const {
    return at_ + offset < rest_.size() ? rest_[at_ + offset] : '\0';
  }

  Token& push(TokenKind kind, std::string text = {}) {
    tokens_.push_back({kind, line_, std::move(text)});
    return tokens_.back();
  }

  // Moves to `end`; what lies between decides whether a tag that follows begins its line.
  void move_to(size_t end) {
    line_ += static_cast<int>(std::count(rest_.begin() + at_, rest_.begin() + end, '\n'));
    line_starting_ = end > at_ ? rest_[end - 1] == '\n' : line_starting_;
    at_ = end;
  }

  size_t skip_space(size_t offset) const {
    while (offset < rest_.size()) {
      const Character next = character_at(rest_, offset);
      if (!is_space(next.value)) break;
      offset += next.bytes;
    }
    return offset;
  }

  // The text before a tag, as whitespace control leaves it.
  std::string_view trimmed(std::string_view text, char sign, bool is_print) const {
    if (sign == '-') {
      size_t end = text.size();
      while (end > 0) {
        const size_t begin = character_before(text, end);
        if (!is_space(character_at(text, begin).value)) break;
        end = begin;
      }
      return text.substr(0, end);
    }
    if (sign == '+' || is_print) return text;
    const size_t line_begin = text.rfind('\n') + 1;
    if (line_begin == 0 && !line_starting_) return text;
    for (size_t i = line_begin; i < text.size();) {
      const Character next = character_at(text, i);
      if (!is_space(next.value)) return text;
      i += next.bytes;
    }
    return text.substr(0, line_begin);
  }

  // "raw" between spaces: the offset behind the opening tag's "%}", or npos when it is another tag.
  size_t raw_tag_end(size_t offset, std::string_view word, bool trims_line) const {
    offset = skip_space(offset);
    if (!ahead(offset).starts_with(word)) return std::string::npos;
    offset = skip_space(offset + word.size());
    if (ahead(offset).starts_with("-%}")) return skip_space(offset + 3);
    if (trims_line && ahead(offset).starts_with("+%}")) return offset + 3;
    if (!ahead(offset).starts_with("%}")) return std::string::npos;
    return offset + 2 + (trims_line && ahead(offset + 2).starts_with("\n") ? 1 : 0);
  }

  // Data up to the next tag, then the tag.
  void read_root() {
    size_t tag = at_;
    while ((tag = rest_.find('{', tag)) != rest_.npos) {
      if (tag + 1 < rest_.size() && std::string_view("%{#").find(rest_[tag + 1]) != rest_.npos)
        break;
      ++tag;
    }
    const std::string_view data = rest_.substr(at_, tag == rest_.npos ? tag : tag - at_);
    if (tag == rest_.npos) {
      push(TokenKind::kData, std::string(data));
      return move_to(rest_.size());
    }
    const char kind = rest_[tag + 1];
    const char mark = tag + 2 < rest_.size() ? rest_[tag + 2] : '\0';
    const char sign = mark == '-' || mark == '+' ? mark : '\0';
    const std::string_view kept = trimmed(data, sign, kind == '{');
    if (!kept.empty()) push(TokenKind::kData, std::string(kept));
    move_to(tag + 2 + (sign ? 1 : 0));
    if (kind == '#') return read_comment();
    if (kind == '{') return read_tag(TokenKind::kPrintBegin, TokenKind::kPrintEnd);
    const size_t raw_end = raw_tag_end(at_, "raw", false);
    if (raw_end != rest_.npos) return read_raw(raw_end);
    read_tag(TokenKind::kBlockBegin, TokenKind::kBlockEnd);
  }

  void read_comment() {
    size_t end = rest_.find("#}", at_);
    if (end == rest_.npos)
      fail("expected '#}' at the end of a comment, found the end of the template");
    const char sign = end > at_ ? rest_[end - 1] : '\0';
    end += 2;
    if (sign == '-') {
      end = skip_space(end);
    } else if (sign != '+' && ahead(end).starts_with("\n")) {
      ++end;
    }
    move_to(end);
  }

  void read_raw(size_t begin) {
    move_to(begin);
    for (size_t tag = at_; (tag = rest_.find("{%", tag)) != rest_.npos; ++tag) {
      const char mark = tag + 2 < rest_.size() ? rest_[tag + 2] : '\0';
      const char sign = mark == '-' || mark == '+' ? mark : '\0';
      const size_t end = raw_tag_end(tag + 2 + (sign ? 1 : 0), "endraw", true);
      if (end == rest_.npos) continue;
      const std::string_view kept = trimmed(rest_.substr(at_, tag - at_), sign, false);
      if (!kept.empty()) push(TokenKind::kData, std::string(kept));
      return move_to(end);
    }
    fail("expected '{% endraw %}', found the end of the template");
  }

  // The offset behind the end of the tag, or npos when the tag goes on.
  size_t tag_end(TokenKind end_kind) const {
    const std::string_view text = ahead(at_);
    const bool is_block = end_kind == TokenKind::kBlockEnd;
    const std::string_view close = is_block ? "%}" : "}}";
    if (text.starts_with('-') && text.substr(1).starts_with(close)) return skip_space(at_ + 3);
    if (is_block && text.starts_with("+%}")) return at_ + 3;
    if (!text.starts_with(close)) return std::string::npos;
    return at_ + 2 + (is_block && text.substr(2).starts_with('\n') ? 1 : 0);
  }

  void read_tag(TokenKind begin_kind, TokenKind end_kind) {
    push(begin_kind);
    std::string open;  // brackets not yet closed, as the closing characters
    while (at_ < rest_.size()) {
      const size_t end = open.empty() ? tag_end(end_kind) : std::string::npos;
      if (end != std::string::npos) {
        push(end_kind);
        return move_to(end);
      }
      const size_t behind_space = skip_space(at_);
      if (behind_space > at_) {
        move_to(behind_space);
        continue;
      }
      read_token(open);
    }
  }

  void read_token(std::string& open) {
    const Character next = character_at(rest_, at_);
    if (is_digit(peek())) return read_number();
    if (next.value == '_' || is_alpha(next.value)) return read_name();
    if (next.value == '\'' || next.value == '"') return read_string(peek());
    read_operator(open);
  }

  void read_name() {
    size_t end = at_;
    while (end < rest_.size()) {
      const Character next = character_at(rest_, end);
      if (next.value != '_' && !is_alpha(next.value) && !is_decimal(next.value)) break;
      end += next.bytes;
    }
    push(TokenKind::kName, std::string(rest_.substr(at_, end - at_)));
    move_to(end);
  }

  void read_string(char quote) {
    size_t end = at_ + 1;
    while (end < rest_.size() && rest_[end] != quote) end += rest_[end] == '\\' ? 2 : 1;
    if (end >= rest_.size()) fail("expected the end of a string, found the end of the template");
    push(TokenKind::kString, unescape(rest_.substr(at_ + 1, end - at_ - 1)));
    move_to(end + 1);
  }

  // The end of (digits [_ digits]*) from `offset`; `offset` itself when there is no digit.
  size_t digits_end(size_t offset, int base) const {
    const auto is_valid = [&](size_t i) {
      const char c = i < rest_.size() ? rest_[i] : '\0';
      const int value = is_digit(c) ? c - '0' : (c | 0x20) >= 'a' ? (c | 0x20) - 'a' + 10 : 99;
      return value < base;
    };
    while (is_valid(offset) ||
           (offset < rest_.size() && rest_[offset] == '_' && is_valid(offset + 1))) {
      ++offset;
    }
    return offset;
  }

  void read_number() {
    const size_t whole_end = digits_end(at_, 10);
    size_t end = whole_end;
    const bool after_dot = at_ > 0 && rest_[at_ - 1] == '.';
    if (!after_dot) {
      const auto char_at = [&](size_t i) { return i < rest_.size() ? rest_[i] : '\0'; };
      if (char_at(end) == '.' && is_digit(char_at(end + 1))) end = digits_end(end + 1, 10);
      if ((char_at(end) | 0x20) == 'e') {
        const size_t sign = char_at(end + 1) == '+' || char_at(end + 1) == '-' ? 1 : 0;
        if (is_digit(char_at(end + 1 + sign))) end = digits_end(end + 1 + sign, 10);
      }
    }
    if (end > whole_end) return push_float(end);
    read_integer(whole_end);
  }

  std::string without_underscores(size_t begin, size_t end) const {
    std::string out(rest_.substr(begin, end - begin));
    std::erase(out, '_');
    return out;
  }

  void push_float(size_t end) {
    const std::string digits = without_underscores(at_, end);
    double value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (result.ec != std::errc()) value = std::strtod(digits.c_str(), nullptr);  // out of range
    push(TokenKind::kFloat).number = value;
    move_to(end);
  }

  void read_integer(size_t end) {
    static constexpr std::pair<char, int> kBases[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    size_t begin = at_;
    int base = 10;
    for (const auto& [letter, value] : kBases) {
      if (peek() != '0' || (peek(1) | 0x20) != letter) continue;
      const size_t prefixed_end = digits_end(at_ + 2, value);
      if (prefixed_end == at_ + 2) continue;
      begin = at_ + 2;
      end = prefixed_end;
      base = value;
    }
    if (base == 10 && peek() == '0') {  // zeros are one token, digits behind them another
      end = at_ + 1;
      while (end < rest_.size() &&
             (rest_[end] == '0' || (rest_[end] == '_' && ahead(end + 1).starts_with('0')))) {
        ++end;
      }
    }
    const std::string digits = without_underscores(begin, end);
    int64_t value = 0;
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc())
      refuse(fmt::format("the integer {} needs more than 64 bits", digits));
    push(TokenKind::kInteger).integer = value;
    move_to(end);
  }

  void read_operator(std::string& open) {
    static constexpr std::string_view kDouble[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kSingle = "+-/*%~[](){}><=.:|,;";
    const std::string_view text = ahead(at_);
    size_t length = 0;
    for (const std::string_view op : kDouble) {
      if (text.starts_with(op)) length = 2;
    }
    if (length == 0 && kSingle.find(text[0]) != kSingle.npos) length = 1;
    if (length == 0) {
      fail(fmt::format("unexpected character '{}'", text.substr(0, character_at(text, 0).bytes)));
    }
    const char op = text[0];
    if (op == '(' || op == '[' || op == '{')
      open.push_back(op == '(' ? ')' : op == '[' ? ']' : '}');
    if (op == ')' || op == ']' || op == '}') {
      if (open.empty() || open.back() != op) {
        fail(open.empty() ? fmt::format("unexpected '{}'", op)
                          : fmt::format("expected '{}', found '{}'", open.back(), op));
      }
      open.pop_back();
    }
    push(TokenKind::kOperator, std::string(text.substr(0, length)));
    move_to(at_ + length);
  }

  const std::string source_;
  std::string_view rest_;
  size_t at_ = 0;
  int& line_;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, int* line) {
  *line = 1;
  return Lexer(source, *line).run();
}

}  // namespace mica::jinja
