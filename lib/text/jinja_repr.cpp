// str() and repr() of values, and json.dumps().
#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>

#include "lib/base/utf8.h"
#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_unicode.h"
#include "lib/text/jinja_value.h"

namespace mica::jinja {
namespace {

// Python chooses double quotes only where they save escapes.
char quote_for(std::string_view text) {
  const bool has_single = text.find('\'') != text.npos;
  return has_single && text.find('"') == text.npos ? '"' : '\'';
}

std::string repr_escaped(std::string_view text, char quote) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    const char32_t c = next.value;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.append({'\\', static_cast<char>(c)});
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out.append(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (is_printable(c)) {
      out.append(text.substr(i, next.bytes));
    } else if (c < 0x100) {
      out.append(fmt::format("\\x{:02x}", static_cast<uint32_t>(c)));
    } else {
      const auto value = static_cast<uint32_t>(c);
      out.append(c < 0x10000 ? fmt::format("\\u{:04x}", value) : fmt::format("\\U{:08x}", value));
    }
    i += next.bytes;
  }
  return out;
}

class Repr {
 public:
  explicit Repr(Budget& budget) : budget_(budget), out_(budget) {}
  Text take() { return out_.take(); }

  void add(const Value& value) {
    const Budget::Level level(budget_);  // namespaces may hold themselves
    switch (value.type()) {
      case Type::kUndefined:
        return out_.append("Undefined");
      case Type::kNone:
        return out_.append("None");
      case Type::kBool:
        return out_.append(value.as_int() ? "True" : "False");
      case Type::kInt:
        return out_.append(fmt::format("{}", value.as_int()));
      case Type::kFloat:
        return out_.append(float_repr(value.as_float()));
      case Type::kString:
        return add_text(value.text());
      case Type::kList:
        return add_items("[", value.as<Sequence>().items, "]");
      case Type::kTuple: {
        const Values& items = value.as<Sequence>().items;
        return add_items("(", items, items.size() == 1 ? ",)" : ")");
      }
      case Type::kDict:
        return add_entries("{", value.as<Dict>().entries, "}");
      case Type::kNamespace:
        return add_entries("<Namespace {", value.as<Namespace>().entries, "}>");
      case Type::kRange:
        return add_range(value.as<Range>());
      case Type::kDictView:
        return add_view(value.as<DictView>());
      case Type::kMacro:
        return out_.append(fmt::format("<Macro '{}'>", value.as<Macro>().definition.name));
      default:
        return out_.append(fmt::format("<{} object>", type_name(value)));
    }
  }

 private:
  void add_text(const Text& text) {
    if (text.safe) out_.append("Markup(");
    budget_.charge_characters(text.bytes.size());
    const char quote = quote_for(text.bytes);
    out_.append({&quote, 1});
    out_.append(repr_escaped(text.bytes, quote), text.tainted());
    out_.append({&quote, 1});
    if (text.safe) out_.append(")");
  }
  void add_items(std::string_view open, const Values& items, std::string_view close) {
    out_.append(open);
    for (const Value& item : items) {
      if (&item != &items.front()) out_.append(", ");
      add(item);
    }
    out_.append(close);
  }
  void add_entries(std::string_view open, const Entries& entries, std::string_view close) {
    out_.append(open);
    for (const auto& entry : entries) {
      if (&entry != &entries.front()) out_.append(", ");
      add(entry.first);
      out_.append(": ");
      add(entry.second);
    }
    out_.append(close);
  }
  void add_range(const Range& range) {
    out_.append(range.step == 1
                    ? fmt::format("range({}, {})", range.start, range.stop)
                    : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
  }
  void add_view(const DictView& view) {
    static constexpr const char* kOpen[] = {"dict_keys([", "dict_values([", "dict_items(["};
    Values items;
    for (size_t i = 0; i < view.dict().entries.size(); ++i) items.push_back(view.at(i));
    add_items(kOpen[static_cast<size_t>(view.part)], items, "])");
  }

  Budget& budget_;
  TextBuilder out_;
};

std::string json_escaped(std::string_view text, bool ensure_ascii) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    const auto c = static_cast<uint32_t>(next.value);
    static constexpr std::string_view kShort = "\"\\\n\r\t\f\b";
    const size_t escape = c < 0x80 ? kShort.find(static_cast<char>(c)) : kShort.npos;
    if (escape != kShort.npos) {
      out.append({'\\', "\"\\nrtfb"[escape]});
    } else if (c >= 0x10000 && ensure_ascii) {
      out.append(fmt::format("\\u{:04x}\\u{:04x}", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff)));
    } else if (c < 0x20 || (c >= 0x7f && ensure_ascii)) {
      out.append(fmt::format("\\u{:04x}", c));
    } else {
      out.append(text.substr(i, next.bytes));
    }
    i += next.bytes;
  }
  return out;
}

class JsonDump {
 public:
  JsonDump(Budget& budget, const JsonStyle& style) : budget_(budget), style_(style), out_(budget) {}
  Text take() { return out_.take(); }

  void add(const Value& value) {
    const Budget::Level level(budget_);
    switch (value.type()) {
      case Type::kString:
        budget_.charge_characters(value.text().bytes.size());
        out_.append("\"");
        out_.append(json_escaped(value.text().bytes, style_.ensure_ascii), value.text().tainted());
        return out_.append("\"");
      case Type::kList:
      case Type::kTuple:
        return add_list(value.as<Sequence>().items);
      case Type::kDict:
        return add_dict(value.as<Dict>().entries);
      default:
        return out_.append(scalar(value));
    }
  }

 private:
  static std::string scalar(const Value& value) {
    switch (value.type()) {
      case Type::kNone:
        return "null";
      case Type::kBool:
        return value.as_int() ? "true" : "false";
      case Type::kInt:
        return fmt::format("{}", value.as_int());
      case Type::kFloat: {
        const double number = value.as_float();
        if (std::isnan(number)) return "NaN";
        if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
        return float_repr(number);
      }
      default:
        fail(fmt::format("tojson: a {} cannot be written as JSON", type_name(value)));
    }
  }

  void add_list(const Values& items) {
    if (items.empty()) return out_.append("[]");
    out_.append("[");
    ++level_;
    for (const Value& item : items) {
      begin_item(&item == &items.front());
      add(item);
    }
    --level_;
    end_line();
    out_.append("]");
  }

  void add_dict(const Entries& entries) {
    if (entries.empty()) return out_.append("{}");
    std::vector<const std::pair<Value, Value>*> sorted;
    for (const auto& entry : entries) sorted.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(sorted.begin(), sorted.end(), [&](const auto* a, const auto* b) {
        return order(budget_, a->first, b->first) < 0;
      });
    }
    out_.append("{");
    ++level_;
    for (const auto* entry : sorted) {
      begin_item(entry == sorted.front());
      if (entry->first.is(Type::kString)) {
        add(entry->first);
      } else {
        out_.append("\"");
        out_.append(scalar(entry->first));
        out_.append("\"");
      }
      out_.append(style_.key_separator);
      add(entry->second);
    }
    --level_;
    end_line();
    out_.append("}");
  }

  void begin_item(bool first) {
    if (!first) out_.append(style_.item_separator);
    end_line();
  }
  void end_line() {
    if (!style_.multi_line) return;
    out_.append("\n");
    out_.append_repeated(style_.indent, level_);
  }

  Budget& budget_;
  const JsonStyle& style_;
  TextBuilder out_;
  uint64_t level_ = 0;
};

}  // namespace

// The shortest digits that read back as the same number; an exponent below 1e-4 and from 1e16.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, end.ptr);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  char fixed[64];
  const auto fixed_end =
      std::to_chars(fixed, fixed + sizeof fixed, value, std::chars_format::fixed);
  std::string out(fixed, fixed_end.ptr);
  return out.find('.') == out.npos ? out + ".0" : out;
}

TextPtr to_text(Budget& budget, const Value& value) {
  if (value.is(Type::kString)) return value.text_ptr();
  if (value.is(Type::kUndefined)) return std::make_shared<const Text>();
  return std::make_shared<const Text>(to_repr(budget, value));
}

Text to_repr(Budget& budget, const Value& value) {
  Repr repr(budget);
  repr.add(value);
  return repr.take();
}

Text to_json(Budget& budget, const Value& value, const JsonStyle& style) {
  JsonDump dump(budget, style);
  dump.add(value);
  return dump.take();
}

}  // namespace mica::jinja
