#include "lib/text/jinja_format.h"

#include <cmath>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_format_spec.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

// "%..." format strings.
class PercentFormat {
 public:
  PercentFormat(Evaluator& evaluator, const Text& format, const Value& values)
      : evaluator_(evaluator),
        budget_(evaluator.budget),
        format_(format),
        values_(values),
        out_(evaluator.budget) {}

  Text run() {
    const std::string& bytes = format_.bytes;
    while (at_ < bytes.size()) {
      const size_t percent = std::min(bytes.find('%', at_), bytes.size());
      out_.append(format_, at_, percent);
      at_ = percent;
      if (at_ < bytes.size()) conversion();
    }
    const bool is_tuple = values_.is(Type::kTuple);
    const size_t given = is_tuple ? values_.as<Sequence>().items.size() : 1;
    // A value that could be looked into by name counts as used.
    const bool is_mapping = values_.is(Type::kDict) || values_.is(Type::kList) ||
                            values_.is(Type::kRange) || values_.is(Type::kUndefined);
    if (used_ < given && !is_mapping) fail("not all values of '%' are used by the format");
    return out_.take();
  }

 private:
  char peek() const { return at_ < format_.bytes.size() ? format_.bytes[at_] : '\0'; }

  Value next_value() {
    const bool is_tuple = values_.is(Type::kTuple);
    const size_t given = is_tuple ? values_.as<Sequence>().items.size() : 1;
    if (used_ >= given) fail("there are not enough values for the format of '%'");
    return is_tuple ? values_.as<Sequence>().items[used_++] : (++used_, values_);
  }

  Value named_value() {
    const size_t end = format_.bytes.find(')', at_);
    if (end == std::string::npos) fail("a name in the format of '%' lacks its ')'");
    if (!values_.is(Type::kDict)) fail("a format of '%' with names needs a dict");
    const std::string name = format_.bytes.substr(at_ + 1, end - at_ - 1);
    const Value* value = find_named(budget_, values_.as<Dict>().entries, name);
    if (!value) fail(fmt::format("the dict of '%' has no '{}'", name));
    at_ = end + 1;
    return *value;
  }

  int64_t number() {
    if (peek() == '*') {
      ++at_;
      const Value value = next_value();
      if (!value.is_integral()) fail("'*' in the format of '%' needs an int");
      if (std::abs(value.as_int()) > INT32_MAX) fail("a width in the format of '%' is too large");
      return value.as_int();
    }
    int64_t value = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + (peek() - '0');
      if (value > INT32_MAX) fail("a width in the format of '%' is too large");
    }
    return value;
  }

  void conversion() {
    FormatSpec spec;
    ++at_;
    const bool is_named = peek() == '(';
    const Value named = is_named ? named_value() : Value();
    bool is_left = false;
    bool is_zero = false;
    for (; peek() && std::string_view("#0- +").find(peek()) != std::string::npos; ++at_) {
      if (peek() == '#') spec.alternate = true;
      if (peek() == '0') is_zero = true;
      if (peek() == '-') is_left = true;
      if (peek() == '+' || (peek() == ' ' && spec.sign != '+')) spec.sign = peek();
    }
    spec.width = number();
    if (spec.width < 0) is_left = true;
    spec.width = std::abs(spec.width);
    if (peek() == '.') spec.precision = (++at_, std::max<int64_t>(0, number()));
    while (peek() == 'h' || peek() == 'l' || peek() == 'L') ++at_;
    spec.type = peek();
    if (!spec.type) fail("the format of '%' is incomplete");
    ++at_;
    if (spec.type == '%') return out_.append("%");
    spec.align = is_left ? '<' : '>';
    const Value value = is_named ? named : next_value();
    if (std::string_view("sra").find(spec.type) != std::string::npos) return text(value, spec);
    if (is_zero && !is_left) {
      spec.fill = '0';
      spec.align = '=';
    }
    numeric(value, spec);
  }

  void text(const Value& value, const FormatSpec& spec) {
    const Text content = spec.type == 's'   ? *evaluator_.text_of(value)
                         : spec.type == 'r' ? to_repr(budget_, value)
                                            : ascii_repr(budget_, value);
    const Text formatted = format_text(budget_, content, spec);
    out_.append(format_.safe && !content.safe ? escape_html(budget_, formatted) : formatted);
  }

  void numeric(const Value& value, FormatSpec spec) {
    if (value.is(Type::kUndefined)) fail(value.undefined_message());
    if (spec.type == 'c') {
      if (value.is(Type::kString) && count_characters(value.text().bytes) == 1) {
        spec.precision = -1;
        return out_.append(format_text(budget_, value.text(), spec));
      }
      if (!value.is_integral()) fail("'%c' needs an int or one character");
      spec.fill = ' ';
      return out_.append(format_integer(budget_, value.as_int(), spec));
    }
    if (!value.is_number())
      fail(fmt::format("'%{}' needs a number, not {}", spec.type, type_name(value)));
    const bool is_decimal = std::string_view("diu").find(spec.type) != std::string::npos;
    if (is_decimal || spec.type == 'o' || spec.type == 'x' || spec.type == 'X') {
      if (!value.is_integral() && !is_decimal) fail(fmt::format("'%{}' needs an int", spec.type));
      return integer(to_integer(value), is_decimal ? 'd' : spec.type, spec);
    }
    if (std::string_view("eEfFgG").find(spec.type) == std::string::npos) {
      fail(fmt::format("'%{}' is no format", spec.type));
    }
    if (spec.precision < 0) spec.precision = 6;
    out_.append(format_float(budget_, value.as_float(), spec));
  }

  static int64_t to_integer(const Value& value) {
    if (value.is_integral()) return value.as_int();
    const double number = std::trunc(value.as_float());
    if (!(std::fabs(number) < 9.2e18)) refuse("'%d' of a float that needs more than 64 bits");
    return static_cast<int64_t>(number);
  }

  void integer(int64_t value, char type, FormatSpec spec) {
    spec.type = type;
    if (spec.precision < 0) return out_.append(format_integer(budget_, value, spec));
    // A precision is a least number of digits: format those, then pad as text.
    FormatSpec digits = spec;
    digits.fill = '0';
    digits.align = '=';
    const bool has_sign = value < 0 || spec.sign != '-';
    const bool has_prefix = spec.alternate && type != 'd';
    digits.width = spec.precision + (has_sign ? 1 : 0) + (has_prefix ? 2 : 0);
    const Text formatted = make_text(format_integer(budget_, value, digits));
    FormatSpec outer;
    outer.width = spec.width;
    outer.align = spec.align == '=' ? '>' : spec.align;
    if (spec.align == '=') refuse("'0' together with a precision in the format of '%'");
    out_.append(format_text(budget_, formatted, outer));
  }

  Evaluator& evaluator_;
  Budget& budget_;
  const Text& format_;
  const Value& values_;
  TextBuilder out_;
  size_t at_ = 0;
  size_t used_ = 0;
};

}  // namespace

Value format_percent(Evaluator& evaluator, const Text& format, const Value& values) {
  Text result = PercentFormat(evaluator, format, values).run();
  result.safe = format.safe;
  return Value(std::move(result));
}

Text ascii_repr(Budget& budget, const Value& value) {
  const Text repr = to_repr(budget, value);
  std::string out;
  for (size_t i = 0; i < repr.bytes.size();) {
    const Character next = character_at(repr.bytes, i);
    const auto c = static_cast<uint32_t>(next.value);
    out += c < 0x80      ? std::string(1, static_cast<char>(c))
           : c < 0x100   ? fmt::format("\\x{:02x}", c)
           : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                         : fmt::format("\\U{:08x}", c);
    i += next.bytes;
  }
  return make_text(std::move(out), repr.tainted());
}

Text escape_html(Budget& budget, const Text& text) {
  if (text.safe) return text;
  static constexpr std::string_view kSpecial = "&<>'\"";
  static constexpr std::string_view kEscapes[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  TextBuilder out(budget);
  const std::string& bytes = text.bytes;
  for (size_t at = 0; at < bytes.size();) {
    const size_t special = std::min(bytes.find_first_of(kSpecial, at), bytes.size());
    out.append(text, at, special);
    at = special;
    if (at == bytes.size()) break;
    out.append(kEscapes[kSpecial.find(bytes[at])], text.tainted());
    ++at;
  }
  Text escaped = out.take();
  escaped.safe = true;
  return escaped;
}

}  // namespace mica::jinja
