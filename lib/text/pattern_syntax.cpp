#include "lib/text/pattern_syntax.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <vector>

#include "lib/base/error.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

// Categories that only gained code points since Unicode 14, so that adding the new ones is exact.
constexpr std::array<std::string_view, 28> kProperties = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps",
    "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "M",  "Me", "Han"};

// Pairs of letters that one character equals when case is ignored (U+FB00 is "ff"): Oniguruma
// matches that character, PCRE2 does not.
constexpr std::array<std::string_view, 5> kFoldingPairs = {"ss", "ff", "fi", "fl", "st"};

constexpr char kAnyLetter = '*';

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

class Translator {
 public:
  Translator(std::string_view pattern, UnicodeReach reach, std::string_view name)
      : pattern_(pattern), newer_(reach == UnicodeReach::kNewer), name_(name) {}

  std::string translate() {
    while (!at_end()) element();
    if (!caseless_.empty()) fail("an unclosed '('");
    return std::move(out_);
  }

 private:
  bool at_end() const { return position_ == pattern_.size(); }
  char peek() const { return at_end() ? '\0' : pattern_[position_]; }
  char take() {
    if (at_end()) fail("an unfinished end");
    return pattern_[position_++];
  }
  bool take_if(std::string_view text) {
    if (!pattern_.substr(position_).starts_with(text)) return false;
    position_ += text.size();
    return true;
  }
  bool caseless() const { return !caseless_.empty() && caseless_.back(); }

  [[noreturn]] void fail(std::string_view what) const {
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{}: the split pattern '{}' uses {} near byte {}, which is not supported",
                    name_, pattern_, what, position_));
  }

  void element() {
    const char c = take();
    switch (c) {
      case '(':
        return open_group();
      case ')':
        if (caseless_.empty()) fail("an unmatched ')'");
        caseless_.pop_back();
        last_letter_ = '\0';
        out_ += ')';
        return quantifier();
      case '|':
        last_letter_ = '\0';
        out_ += '|';
        return;
      case '[':
        if (caseless() && last_letter_ != '\0')
          fail("a class after a letter where case is ignored");
        character_class();
        return quantifier();
      case '\\':
        out_ += escape(false);
        return quantifier();
      case '.':
        if (caseless()) fail("'.' where case is ignored");
        out_ += '.';
        return quantifier();
      case '^':
      case '$':
        fail(fmt::format("'{}'", c));
      case '*':
      case '+':
      case '?':
      case '{':
        fail(fmt::format("'{}' after nothing", c));
      default:
        return literal(c);
    }
  }

  void open_group() {
    static constexpr std::array<std::string_view, 6> kGroups = {"?:",  "?=",  "?!",
                                                                "?<=", "?<!", "?>"};
    if (caseless_.size() >= 100) fail("groups nested more than 100 deep");
    if (caseless()) fail("a group where case is ignored");
    last_letter_ = '\0';
    if (take_if("?i:")) {
      caseless_.push_back(true);
      out_ += "(?i:";
      return;
    }
    for (const std::string_view group : kGroups) {
      if (!take_if(group)) continue;
      caseless_.push_back(false);
      out_.append("(").append(group);
      return;
    }
    if (peek() == '?' || peek() == '*') fail(fmt::format("'({}'", pattern_.substr(position_, 2)));
    caseless_.push_back(false);
    out_ += "(?:";  // what a group captured is never looked at
  }

  void literal(char c) {
    if (caseless()) check_folding(to_lower(c));
    out_ += quoted(c);
    if (static_cast<uint8_t>(c) >= 0x80) continuation_bytes();
    quantifier();
  }

  void check_folding(char c) {
    if (static_cast<uint8_t>(c) >= 0x80) fail("a character beyond ASCII where case is ignored");
    const char pair[2] = {last_letter_, c};
    if (last_letter_ == kAnyLetter ||
        std::ranges::count(kFoldingPairs, std::string_view(pair, 2))) {
      fail("letters that one character may equal when case is ignored");
    }
    last_letter_ = c;
  }

  void continuation_bytes() {
    while ((static_cast<uint8_t>(peek()) & 0xc0) == 0x80) out_ += take();
  }

  static std::string quoted(char c) {
    const bool plain = is_ascii_letter(c) || is_ascii_digit(c) || static_cast<uint8_t>(c) >= 0x80 ||
                       static_cast<uint8_t>(c) <= ' ';
    return plain ? std::string(1, c) : std::string{'\\', c};
  }

  void quantifier() {
    const char c = peek();
    if (c == '{') return interval();
    if (c != '*' && c != '+' && c != '?') return;
    last_letter_ = '\0';
    out_ += take();
    if (peek() == '?' || peek() == '+') out_ += take();
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{') {
      fail("a quantifier of a quantifier");
    }
  }

  // Ruby reads {n}? and {n,m}+ otherwise than PCRE2 does.
  void interval() {
    last_letter_ = '\0';
    const size_t end = pattern_.find('}', position_);
    if (end == pattern_.npos) fail("'{'");
    const std::string_view body = pattern_.substr(position_ + 1, end - position_ - 1);
    const size_t comma = body.find(',');
    const std::string_view low = body.substr(0, comma);
    const std::string_view high = comma == body.npos ? low : body.substr(comma + 1);
    const auto is_count = [](std::string_view text) {
      return text.size() <= 4 && std::ranges::all_of(text, is_ascii_digit);
    };
    if (!is_count(low) || !is_count(high) || (low.empty() && high.empty())) fail("'{'");
    position_ = end + 1;
    out_ += fmt::format("{{{}{}{}}}", low.empty() ? "0" : low, comma == body.npos ? "" : ",",
                        comma == body.npos ? "" : high);
    if (peek() == '?' && comma != body.npos) out_ += take();
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{') {
      fail("a quantifier of a quantifier");
    }
  }

  // The text after a backslash, as an element of its own or as an item of a class.
  std::string escape(bool in_class) {
    const char c = take();
    last_letter_ = '\0';
    switch (c) {
      case 'n':
      case 'r':
      case 't':
      case 'f':
        return {'\\', c};
      case 'v':
        return "\\x{b}";
      case 's':
        return space(in_class, false);
      case 'S':
        return space(in_class, true);
      case 'd':
        return property("Nd", in_class, false);
      case 'D':
        return property("Nd", in_class, true);
      case 'p':
        return named_property(in_class, false);
      case 'P':
        return named_property(in_class, true);
      case 'u':
        return code_point();
      default:
        if (is_ascii_letter(c) || is_ascii_digit(c) || static_cast<uint8_t>(c) >= 0x80) {
          fail(fmt::format("'\\{}'", c));
        }
        return quoted(c);
    }
  }

  std::string code_point() {
    std::string digits;
    for (int i = 0; i < 4; ++i) {
      const char digit = to_lower(take());
      if (!is_ascii_digit(digit) && !(digit >= 'a' && digit <= 'f')) fail("'\\u'");
      digits += digit;
    }
    if (caseless()) fail("'\\u' where case is ignored");
    return "\\x{" + digits + "}";
  }

  // PCRE2's \s has U+180E, White_Space has not.
  std::string space(bool in_class, bool negated) {
    if (!newer_) return negated ? "\\S" : "\\s";
    if (negated) return in_class ? "\\S\\x{180e}" : "[\\S\\x{180e}]";
    return in_class ? "\\p{Z}\\x{9}-\\x{d}\\x{85}" : "[\\p{Z}\\x{9}-\\x{d}\\x{85}]";
  }

  std::string named_property(bool in_class, bool negated) {
    if (take() != '{') fail("'\\p' without a name");
    if (take_if("^")) negated = !negated;
    const size_t end = pattern_.find('}', position_);
    if (end == pattern_.npos) fail("'\\p' without an end");
    const std::string_view name = pattern_.substr(position_, end - position_);
    if (std::ranges::count(kProperties, name) == 0) fail(fmt::format("'\\p{{{}}}'", name));
    position_ = end + 1;
    return property(name, in_class, negated);
  }

  std::string property(std::string_view name, bool in_class, bool negated) {
    if (caseless()) fail("a property where case is ignored");
    if (in_class && negated) fail("a negated property inside a class");
    const std::string known = fmt::format("p{{{}{}}}", name == "Han" ? "sc:" : "", name);
    const std::string added = newer_ ? newer_ranges(name) : "";
    if (in_class) return "\\" + known + added;
    if (added.empty()) return (negated ? "\\P" : "\\p") + known.substr(1);
    return fmt::format("[{}\\{}{}]", negated ? "^" : "", known, added);
  }

  void character_class() {
    out_ += '[';
    if (take_if("^")) {
      if (caseless()) fail("a negated class where case is ignored");
      out_ += '^';
    }
    if (peek() == ']') fail("']' at the beginning of a class");
    bool range_may_follow = false;
    for (bool first = true; !take_if("]"); first = false) {
      if (take_if("&&")) fail("'&&' in a class");
      if (take_if("-")) {
        if (first || peek() == ']') {
          out_ += "\\-";
          continue;
        }
        if (!range_may_follow) fail("'-' after a set in a class");
        out_ += '-';
        if (class_item()) fail("a set as the end of a range");
        range_may_follow = false;
        continue;
      }
      range_may_follow = !class_item();
    }
    out_ += ']';
    last_letter_ = kAnyLetter;
  }

  // One character or set; returns whether it was a set.
  bool class_item() {
    const char c = take();
    if (c == '[') fail("a class in a class");
    if (caseless() && !is_ascii_letter(c)) fail("such a class where case is ignored");
    if (c == '\\') {
      const bool is_set = std::string_view("sSdDpP").find(peek()) != std::string_view::npos;
      out_ += escape(true);
      return is_set;
    }
    out_ += quoted(c);
    if (static_cast<uint8_t>(c) >= 0x80) continuation_bytes();
    return false;
  }

  std::string_view pattern_;
  bool newer_;
  std::string_view name_;
  size_t position_ = 0;
  std::string out_;
  std::vector<bool> caseless_;  // one per open group
  char last_letter_ = '\0';     // in lower case, where case is ignored; '*' after a class
};

}  // namespace

std::string translate_pattern(std::string_view pattern, UnicodeReach reach, std::string_view name) {
  return Translator(pattern, reach, name).translate();
}

}  // namespace mica
