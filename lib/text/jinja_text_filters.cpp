// Filters that give strings.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filter_lists.h"
#include "lib/text/jinja_format.h"
#include "lib/text/jinja_search.h"
#include "lib/text/jinja_strings.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

template <std::string (*map)(std::string_view)>
Value mapped(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  evaluator.budget.charge_characters(text->bytes.size());
  Text result = make_text(map(text->bytes), text->tainted());
  result.safe = text->safe;
  return Value(std::move(result));
}

Value plain(Text text) {
  text.safe = false;
  return Value(std::move(text));
}

// Words begin behind white space and opening brackets.
std::string filter_title(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto is_separator = [&](size_t i) {
      const char32_t c = character_at(text, i).value;
      return is_space(c) || (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) !=
                                             std::string::npos);
    };
    const bool separators = is_separator(at);
    size_t end = at;
    while (end < text.size() && is_separator(end) == separators)
      end += character_at(text, end).bytes;
    const size_t first = at + character_at(text, at).bytes;
    out += to_upper(text.substr(at, first - at)) + to_lower(text.substr(first, end - first));
    at = end;
  }
  return out;
}

Value title(Evaluator& evaluator, Bound& arguments) {
  Value result = mapped<filter_title>(evaluator, arguments);
  return plain(result.text());
}

Value center(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  return Value(pad_text(evaluator.budget, *text, arguments.integer(1, 80), Align::kCenter, " "));
}

Value escape(Evaluator& evaluator, Bound& arguments) {
  return Value(escape_html(evaluator.budget, *evaluator.text_of(arguments[0])));
}
Value force_escape(Evaluator& evaluator, Bound& arguments) {
  const Value text = plain(*evaluator.text_of(arguments[0]));
  return Value(escape_html(evaluator.budget, text.text()));
}
Value safe(Evaluator& evaluator, Bound& arguments) {
  Text text = *evaluator.text_of(arguments[0]);
  text.safe = true;
  return Value(std::move(text));
}
Value string(Evaluator& evaluator, Bound& arguments) {
  return Value(evaluator.text_of(arguments[0]));
}

Value format(Evaluator& evaluator, Bound& arguments) {
  Arguments& rest = arguments.rest;
  if (!rest.positional.empty() && !rest.named.empty()) {
    fail("format() takes positional or named arguments, not both");
  }
  const TextPtr text = evaluator.text_of(arguments[0]);
  if (rest.named.empty()) {
    return format_percent(evaluator, *text, make_tuple(std::move(rest.positional)));
  }
  Entries entries;
  for (auto& [name, value] : rest.named) entries.emplace_back(Value(name), std::move(value));
  return format_percent(evaluator, *text, Value(std::make_shared<Dict>(std::move(entries))));
}

Value indent(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = arguments.string(0);
  const bool by_string = arguments.has(1) && arguments[1].is(Type::kString);
  TextBuilder width(evaluator.budget);
  if (by_string) {
    width.append(arguments[1].text());
  } else {
    width.append_repeated(" ",
                          static_cast<uint64_t>(std::max<int64_t>(0, arguments.integer(1, 4))));
  }
  const Text indention = width.take();
  const bool blank = arguments.flag(3);
  TextBuilder with_end(evaluator.budget);
  with_end.append(*text);
  with_end.append("\n");  // so that a last empty line counts
  TextBuilder out(evaluator.budget);
  if (arguments.flag(2)) out.append(indention);
  const Values lines = split_lines(evaluator.budget, with_end.take(), false);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i > 0 && (blank || !lines[i].text().bytes.empty())) out.append(indention);
    out.append(lines[i].text());
  }
  Text result = out.take();
  result.safe = text->safe;
  return Value(std::move(result));
}

Value replace(Evaluator& evaluator, Bound& arguments) {
  const int64_t limit = arguments.has_value(3) ? arguments.integer(3, -1) : -1;
  const TextPtr text = evaluator.text_of(arguments[0]);
  return Value(replace_text(evaluator.budget, *text, *evaluator.text_of(arguments[1]),
                            *evaluator.text_of(arguments[2]), limit));
}

Value trim(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  const TextPtr chars = arguments.has_value(1) ? arguments.string(1) : nullptr;
  return Value(strip_text(evaluator.budget, *text, chars ? &chars->bytes : nullptr, true, true));
}

Value truncate(Evaluator& evaluator, Bound& arguments) {
  const int64_t length = arguments.integer(1, 255);
  const Text end = arguments.has(3) ? *arguments.string(3) : make_text("...");
  const int64_t leeway = arguments.has_value(4) ? arguments.integer(4, 5) : 5;
  const auto end_length = static_cast<int64_t>(count_characters(end.bytes));
  if (length < end_length) fail("truncate() has a length below that of its end");
  if (leeway < 0) fail("truncate() has a leeway below zero");
  const Value& value = arguments[0];
  if (value.is(Type::kString)) evaluator.budget.charge_characters(value.text().bytes.size());
  const int64_t size = length_of(value);
  if (size >= 0 && size - leeway <= length) return value;  // whatever it is
  const TextPtr text = arguments.string(0);
  size_t cut = offset_of(text->bytes, static_cast<size_t>(length - end_length));
  if (!arguments.flag(2)) {
    const size_t space = find_last_bytes(evaluator.budget, text->bytes, " ", cut);
    if (space != std::string::npos) cut = space;
  }
  TextBuilder out(evaluator.budget);
  out.append(*text, 0, cut);
  out.append(end);
  return Value(out.take());
}

std::string quote(std::string_view bytes, bool for_query) {
  std::string out;
  for (const char c : bytes) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) ||
                          std::string_view("_.-~").find(c) != std::string::npos ||
                          (c == '/' && !for_query);
    if (is_plain && static_cast<unsigned char>(c) < 0x80) {
      out.push_back(c);
    } else if (c == ' ' && for_query) {
      out.push_back('+');
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Value url_encode(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  TextBuilder out(evaluator.budget);
  const auto append = [&](const Value& part, bool for_query) {
    const TextPtr text = evaluator.text_of(part);
    out.append(quote(text->bytes, for_query), text->tainted());
  };
  if (value.is(Type::kString) || (length_of(value) < 0 && !value.is(Type::kIterator))) {
    append(value, false);
    return Value(out.take());
  }
  Values pairs;
  if (value.is(Type::kDict)) {
    for (const auto& [key, item] : value.as<Dict>().entries)
      pairs.push_back(make_tuple({key, item}));
  } else {
    pairs = to_values(evaluator.budget, value);
  }
  bool first = true;
  for (const Value& pair : pairs) {
    const Values items = to_values(evaluator.budget, pair);
    if (items.size() != 2) fail("urlencode() needs pairs of key and value");
    if (!std::exchange(first, false)) out.append("&");
    append(items[0], true);
    out.append("=");
    append(items[1], true);
  }
  return Value(out.take());
}

Value word_count(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  evaluator.budget.charge_characters(text->bytes.size());
  int64_t count = 0;
  bool in_word = false;
  for (size_t i = 0; i < text->bytes.size();) {
    const Character next = character_at(text->bytes, i);
    const bool is_word = next.value == '_' || is_alnum(next.value);
    if (is_word && !in_word) ++count;
    in_word = is_word;
    i += next.bytes;
  }
  return Value(count);
}

Value to_json_text(Evaluator& evaluator, Bound& arguments) {
  JsonStyle style;
  style.ensure_ascii = arguments.flag(1);
  style.sort_keys = arguments.flag(4);
  if (arguments.has_value(2)) {
    style.multi_line = true;
    style.item_separator = ',';
    const bool by_string = arguments[2].is(Type::kString);
    TextBuilder indent(evaluator.budget);
    if (!by_string) {
      indent.append_repeated(" ",
                             static_cast<uint64_t>(std::max<int64_t>(0, arguments.integer(2, 0))));
    }
    style.indent = by_string ? arguments[2].text().bytes : indent.take().bytes;
  }
  if (arguments.has_value(3)) {
    const Values separators = to_values(evaluator.budget, arguments[3]);
    if (separators.size() != 2 || !separators[0].is(Type::kString) ||
        !separators[1].is(Type::kString)) {
      fail("the separators of tojson() are two strings");
    }
    style.item_separator = separators[0].text().bytes;
    style.key_separator = separators[1].text().bytes;
  }
  return Value(to_json(evaluator.budget, arguments[0], style));
}

// pprint sorts dicts.
Value with_sorted_dicts(Evaluator& evaluator, const Value& value) {
  const Budget::Level level(evaluator.budget);
  if (value.is_sequence()) {
    Values items;
    for (const Value& item : to_values(evaluator.budget, value)) {
      items.push_back(with_sorted_dicts(evaluator, item));
    }
    return Value(std::make_shared<Sequence>(value.type(), std::move(items)));
  }
  if (!value.is(Type::kDict)) return value;
  Entries entries;
  for (const auto& [key, item] : value.as<Dict>().entries) {
    evaluator.budget.charge(1);
    entries.emplace_back(key, with_sorted_dicts(evaluator, item));
  }
  std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return order(evaluator.budget, a.first, b.first) < 0;
  });
  return Value(std::make_shared<Dict>(std::move(entries)));
}

Value pretty_print(Evaluator& evaluator, Bound& arguments) {
  Text repr = to_repr(evaluator.budget, with_sorted_dicts(evaluator, arguments[0]));
  constexpr size_t kWidth = 80;
  if (count_characters(repr.bytes) > kWidth)
    refuse("pprint of more than one line is not supported");
  return Value(std::move(repr));
}

constexpr FilterEntry kFilters[] = {
    {"capitalize", "s", mapped<capitalize>},
    {"center", "value, width?", center},
    {"e", "s, /", escape},
    {"escape", "s, /", escape},
    {"forceescape", "value", force_escape},
    {"format", "value, *", format},
    {"indent", "s, width?, first?, blank?", indent},
    {"lower", "s", mapped<to_lower>},
    {"pprint", "value", pretty_print},
    {"replace", "s, old, new, count?", replace},
    {"safe", "value", safe},
    {"string", "s, /", string},
    {"title", "s", title},
    {"tojson", "x, ensure_ascii?, indent?, separators?, sort_keys?", to_json_text},
    {"trim", "value, chars?", trim},
    {"truncate", "s, length?, killwords?, end?, leeway?", truncate},
    {"upper", "s", mapped<to_upper>},
    {"urlencode", "value", url_encode},
    {"wordcount", "s", word_count},
};

}  // namespace

std::span<const FilterEntry> text_filters() {
  return kFilters;
}

}  // namespace mica::jinja
