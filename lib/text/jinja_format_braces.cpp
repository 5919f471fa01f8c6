// str.format().
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_format.h"
#include "lib/text/jinja_format_spec.h"

namespace mica::jinja {
namespace {

// "{...}" format strings.
class BraceFormat {
 public:
  BraceFormat(Evaluator& evaluator, const Text& source, const Arguments& arguments)
      : evaluator_(evaluator), budget_(evaluator.budget), source_(source), arguments_(arguments) {}

  Text run(const Text& format, int depth = 0) {
    if (depth > 1) fail("a format is nested too deep");
    TextBuilder out(budget_);
    const std::string& bytes = format.bytes;
    for (size_t at = 0; at < bytes.size();) {
      const size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
      out.append(format, at, brace);
      at = brace;
      if (at == bytes.size()) break;
      if (at + 1 < bytes.size() && bytes[at + 1] == bytes[at]) {
        out.append(format, at, at + 1);
        at += 2;
        continue;
      }
      if (bytes[at] == '}') fail("a format has a single '}'");
      const size_t end = field_end(bytes, at);
      out.append(field(sub_text(budget_, format, at + 1, end), depth));
      at = end + 1;
    }
    return out.take();
  }

 private:
  static size_t field_end(const std::string& bytes, size_t open) {
    int level = 0;
    for (size_t i = open; i < bytes.size(); ++i) {
      if (bytes[i] == '{') ++level;
      if (bytes[i] == '}' && --level == 0) return i;
    }
    fail("a format has a single '{'");
  }

  Text field(const Text& field, int depth) {
    const std::string& bytes = field.bytes;
    const size_t bracket_end = bytes.find(']');
    size_t name_end = std::min(bytes.find_first_of("!:"), bytes.size());
    if (bytes.find('[') < name_end && bracket_end != std::string::npos) {
      name_end = std::min(bytes.find_first_of("!:", bracket_end), bytes.size());
    }
    size_t at = name_end;
    char conversion = 0;
    if (at < bytes.size() && bytes[at] == '!') {
      conversion = at + 1 < bytes.size() ? bytes[at + 1] : '\0';
      at += 2;
      if (at < bytes.size() && bytes[at] != ':') fail("a format has no ':' behind its conversion");
    }
    Value value = look_up(std::string_view(bytes).substr(0, name_end));
    const Text spec =
        at < bytes.size() ? run(sub_text(budget_, field, at + 1, bytes.size()), depth + 1) : Text();
    if (conversion == 's') value = Value(evaluator_.text_of(value));
    if (conversion == 'r') value = Value(to_repr(budget_, value));
    if (conversion == 'a') value = Value(ascii_repr(budget_, value));
    if (conversion && std::string_view("sra").find(conversion) == std::string::npos) {
      fail(fmt::format("a format has the unknown conversion '{}'", conversion));
    }
    const Text formatted = convert(value, spec.bytes);
    const bool is_safe = value.is(Type::kString) && value.text().safe;
    return source_.safe && !is_safe ? escape_html(budget_, formatted) : formatted;
  }

  Value look_up(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    const std::string_view first = name.substr(0, first_end);
    Value value = argument(first);
    for (size_t at = first_end; at < name.size();) {
      if (name[at] == '.') {
        const size_t end = std::min(name.find_first_of(".[", at + 1), name.size());
        value = evaluator_.attribute(value, name.substr(at + 1, end - at - 1));
        at = end;
      } else {
        const size_t end = name.find(']', at);
        if (name[at] != '[' || end == name.npos) fail("a format has a field with a bad '['");
        const std::string_view key = name.substr(at + 1, end - at - 1);
        value = evaluator_.item(value, is_index(key) ? Value(index(key)) : Value(std::string(key)));
        at = end + 1;
      }
    }
    return value;
  }

  static bool is_index(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  }
  static int64_t index(std::string_view text) {
    if (text.size() > 9) fail("a format has an index that is too large");
    int64_t value = 0;
    for (const char c : text) value = value * 10 + (c - '0');
    return value;
  }

  Value argument(std::string_view name) {
    if (name.empty() || is_index(name)) {
      if ((name.empty() ? next_ < 0 : next_ > 0)) fail("a format mixes '{}' and '{0}'");
      const int64_t position = name.empty() ? next_++ : (next_ = -1, index(name));
      if (position >= static_cast<int64_t>(arguments_.positional.size())) {
        fail(fmt::format("a format has no value number {}", position));
      }
      return arguments_.positional[static_cast<size_t>(position)];
    }
    for (const auto& [known, value] : arguments_.named) {
      if (known == name) return value;
    }
    fail(fmt::format("a format has no value '{}'", name));
  }

  Text convert(const Value& value, const std::string& spec_text) {
    if (spec_text.empty()) return *evaluator_.text_of(value);
    FormatSpec spec = parse_format_spec(spec_text);
    if (value.is_integral()) {
      if (spec.precision >= 0 &&
          !(spec.type && std::string_view("eEfFgG%").find(spec.type) != std::string::npos)) {
        fail("a format gives a precision for an int");
      }
      return make_text(format_integer(budget_, value.as_int(), spec));
    }
    if (value.is(Type::kFloat)) return make_text(format_float(budget_, value.as_float(), spec));
    if (!value.is(Type::kString))
      fail(fmt::format("a {} has no format '{}'", type_name(value), spec_text));
    const bool zero_padded = spec.align == '=' && spec.fill == "0" && spec_text[0] == '0';
    if (zero_padded) spec.align = '<';
    const bool is_wrong = (spec.type && spec.type != 's') || spec.align == '=' ||
                          spec.sign != '-' || spec.grouping || spec.alternate;
    if (is_wrong) fail(fmt::format("a str has no format '{}'", spec_text));
    return format_text(budget_, value.text(), spec);
  }

  Evaluator& evaluator_;
  Budget& budget_;
  const Text& source_;
  const Arguments& arguments_;
  int64_t next_ = 0;  // value of the next "{}"; -1: numbered by hand
};

}  // namespace

Value format_braces(Evaluator& evaluator, const Text& format, const Arguments& arguments) {
  Text result = BraceFormat(evaluator, format, arguments).run(format);
  result.safe = format.safe;
  return Value(std::move(result));
}

}  // namespace mica::jinja
