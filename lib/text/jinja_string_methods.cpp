// The methods of strings.
//
// Results keep the marks of the bytes they take over; a change of case or padding by characters
// marks all or nothing.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filters.h"
#include "lib/text/jinja_format.h"
#include "lib/text/jinja_search.h"
#include "lib/text/jinja_strings.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

struct Method {
  std::string_view name;
  std::string_view signature;
  Value (*run)(Evaluator& evaluator, const Text& self, Bound& arguments);
};

Value with_safety(Text text, const Text& self) {
  text.safe = self.safe;
  return Value(std::move(text));
}

template <std::string (*map)(std::string_view)>
Value mapped(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  return with_safety(make_text(map(self.bytes), self.tainted()), self);
}

template <bool left, bool right>
Value strip(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr chars = arguments.has_value(0) ? arguments.string(0) : nullptr;
  return Value(strip_text(evaluator.budget, self, chars ? &chars->bytes : nullptr, left, right));
}

// The part of `self` that optional start and end arguments name.
struct Window {
  size_t begin, end;  // bytes
  int64_t first_character;
  bool is_valid;  // false: start lies behind end, nothing is found, not even ""
};
Window window(Evaluator& evaluator, const Text& self, const Bound& arguments, size_t start) {
  evaluator.budget.charge_characters(self.bytes.size());
  if (!arguments.has_value(start) && !arguments.has_value(start + 1)) {
    return {0, self.bytes.size(), 0, true};
  }
  const auto length = static_cast<int64_t>(count_characters(self.bytes));
  const auto bound = [&](size_t index, int64_t preset) {
    if (!arguments.has_value(index)) return preset;
    const int64_t value = arguments.integer(index, 0);
    return std::max<int64_t>(0, value < 0 ? value + length : value);
  };
  const int64_t first = bound(start, 0);
  const int64_t last = std::min(bound(start + 1, length), length);
  if (first > last) return {0, 0, 0, false};
  return {offset_of(self.bytes, static_cast<size_t>(first)),
          offset_of(self.bytes, static_cast<size_t>(last)), first, true};
}

template <bool at_end>
Value has_affix(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const Window part = window(evaluator, self, arguments, 1);
  const std::string_view text =
      std::string_view(self.bytes).substr(part.begin, part.end - part.begin);
  const auto matches = [&](const Value& affix) {
    if (!affix.is(Type::kString))
      fail("startswith() and endswith() need a string or a tuple of them");
    const std::string& bytes = affix.text().bytes;
    return part.is_valid && (at_end ? text.ends_with(bytes) : text.starts_with(bytes));
  };
  if (!arguments[0].is(Type::kTuple)) return Value(matches(arguments[0]));
  const Values& all = arguments[0].as<Sequence>().items;
  evaluator.budget.charge(all.size());
  return Value(std::any_of(all.begin(), all.end(), matches));
}

template <bool last, bool must_exist>
Value find(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr needle = arguments.string(0);
  const Window part = window(evaluator, self, arguments, 1);
  const std::string_view text = std::string_view(self.bytes).substr(0, part.end);
  size_t at = std::string::npos;
  if (part.is_valid) {
    at = last ? find_last_bytes(evaluator.budget, text, needle->bytes, text.size())
              : find_bytes(evaluator.budget, text, needle->bytes, part.begin);
  }
  if (at != std::string::npos && at >= part.begin) {
    const size_t characters = count_characters(text.substr(part.begin, at - part.begin));
    return Value(part.first_character + static_cast<int64_t>(characters));
  }
  if (must_exist) fail("substring not found");
  return Value(int64_t{-1});
}

Value count(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr needle = arguments.string(0);
  const Window part = window(evaluator, self, arguments, 1);
  const std::string_view text = std::string_view(self.bytes).substr(0, part.end);
  if (!part.is_valid) return Value(int64_t{0});
  if (needle->bytes.empty()) {
    return Value(static_cast<int64_t>(count_characters(text.substr(part.begin))) + 1);
  }
  int64_t found = 0;
  size_t at = part.begin;
  while ((at = find_bytes(evaluator.budget, text, needle->bytes, at)) != std::string::npos) {
    ++found;
    at += needle->bytes.size();
  }
  return Value(found);
}

Value replace(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr old_part = arguments.string(0);
  const TextPtr new_part = arguments.string(1);
  return with_safety(replace_text(evaluator.budget, self, *old_part,
                                  self.safe ? escape_html(evaluator.budget, *new_part) : *new_part,
                                  arguments.integer(2, -1)),
                     self);
}

template <bool from_right>
Value split(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr separator = arguments.has_value(0) ? arguments.string(0) : nullptr;
  const int64_t limit = arguments.integer(1, -1);
  if (from_right) return make_list(rsplit_text(evaluator.budget, self, separator.get(), limit));
  return make_list(split_text(evaluator.budget, self, separator.get(), limit));
}

Value splitlines(Evaluator& evaluator, const Text& self, Bound& arguments) {
  return make_list(split_lines(evaluator.budget, self, arguments.flag(0)));
}

template <bool from_right>
Value partition(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const TextPtr separator = arguments.string(0);
  if (separator->bytes.empty()) fail("partition() needs a separator that is not empty");
  const size_t size = self.bytes.size();
  const size_t at = from_right
                        ? find_last_bytes(evaluator.budget, self.bytes, separator->bytes, size)
                        : find_bytes(evaluator.budget, self.bytes, separator->bytes, 0);
  Budget& budget = evaluator.budget;
  if (at == std::string::npos) {
    const Value all(sub_text(budget, self, 0, size));
    const Value empty(Text{{}, {}, self.safe});
    if (from_right) return make_tuple({empty, empty, all});
    return make_tuple({all, empty, empty});
  }
  const size_t behind = at + separator->bytes.size();
  return make_tuple({Value(sub_text(budget, self, 0, at)),
                     Value(sub_text(budget, self, at, behind)),
                     Value(sub_text(budget, self, behind, size))});
}

Value join(Evaluator& evaluator, const Text& self, Bound& arguments) {
  TextBuilder out(evaluator.budget);
  bool first = true;
  for (const Value& item : to_values(evaluator.budget, arguments[0])) {
    if (!item.is(Type::kString) && !self.safe) {
      fail(fmt::format("join() needs strings, not {}", type_name(item)));
    }
    if (!std::exchange(first, false)) out.append(self);
    const TextPtr text = evaluator.text_of(item);
    out.append(self.safe ? escape_html(evaluator.budget, *text) : *text);
  }
  return with_safety(out.take(), self);
}

template <bool at_end>
Value remove_affix(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const std::string& affix = arguments.string(0)->bytes;
  size_t begin = 0;
  size_t end = self.bytes.size();
  if (!at_end && self.bytes.starts_with(affix)) begin = affix.size();
  if (at_end && self.bytes.ends_with(affix)) end -= affix.size();
  return Value(sub_text(evaluator.budget, self, begin, end));
}

template <Align align>
Value pad(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const std::string fill = arguments.has(1) ? arguments.string(1)->bytes : " ";
  if (count_characters(fill) != 1) fail("the fill character must be one character");
  const int64_t width = arguments.integer(0, 0);
  return with_safety(pad_text(evaluator.budget, self, width, align, fill), self);
}

Value zfill(Evaluator& evaluator, const Text& self, Bound& arguments) {
  const bool has_sign = !self.bytes.empty() && (self.bytes[0] == '-' || self.bytes[0] == '+');
  const auto length = static_cast<int64_t>(count_characters(self.bytes));
  TextBuilder out(evaluator.budget);
  out.append(self, 0, has_sign ? 1 : 0);
  const int64_t missing = arguments.integer(0, 0) > length ? arguments.integer(0, 0) - length : 0;
  out.append_repeated("0", static_cast<uint64_t>(missing));
  out.append(self, has_sign ? 1 : 0, self.bytes.size());
  return with_safety(out.take(), self);
}

template <bool (*matches)(char32_t)>
Value all_characters(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  for (size_t i = 0; i < self.bytes.size();) {
    const Character next = character_at(self.bytes, i);
    if (!matches(next.value)) return Value(false);
    i += next.bytes;
  }
  return Value(!self.bytes.empty());
}

Value is_ascii_text(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  return Value(is_ascii(self.bytes));
}

Value is_printable_text(Evaluator& evaluator, const Text& self, Bound& arguments) {
  if (self.bytes.empty()) return Value(true);
  return all_characters<is_printable>(evaluator, self, arguments);
}

Value is_upper_text(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  return Value(is_upper_string(self.bytes));
}
Value is_lower_text(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  return Value(is_lower_string(self.bytes));
}

Value is_title_text(Evaluator& evaluator, const Text& self, Bound&) {
  evaluator.budget.charge_characters(self.bytes.size());
  bool in_word = false;
  bool found = false;
  for (size_t i = 0; i < self.bytes.size();) {
    const Character next = character_at(self.bytes, i);
    const bool begins = is_upper(next.value) || is_title(next.value);
    if ((begins && in_word) || (is_lower(next.value) && !in_word)) return Value(false);
    in_word = is_cased(next.value);
    found = found || in_word;
    i += next.bytes;
  }
  return Value(found);
}

Value format(Evaluator& evaluator, const Text& self, Bound& arguments) {
  return format_braces(evaluator, self, arguments.rest);
}

constexpr Method kMethods[] = {
    {"capitalize", "", mapped<capitalize>},
    {"center", "width, fill?, /", pad<Align::kCenter>},
    {"count", "needle, start?, end?, /", count},
    {"endswith", "suffix, start?, end?, /", has_affix<true>},
    {"find", "needle, start?, end?, /", find<false, false>},
    {"format", "*", format},
    {"index", "needle, start?, end?, /", find<false, true>},
    {"isalnum", "", all_characters<is_alnum>},
    {"isalpha", "", all_characters<is_alpha>},
    {"isascii", "", is_ascii_text},
    {"isdecimal", "", all_characters<is_decimal>},
    {"isdigit", "", all_characters<is_digit_character>},
    {"islower", "", is_lower_text},
    {"isnumeric", "", all_characters<is_numeric>},
    {"isprintable", "", is_printable_text},
    {"isspace", "", all_characters<is_space>},
    {"istitle", "", is_title_text},
    {"isupper", "", is_upper_text},
    {"join", "iterable, /", join},
    {"ljust", "width, fill?, /", pad<Align::kLeft>},
    {"lower", "", mapped<to_lower>},
    {"lstrip", "chars?, /", strip<true, false>},
    {"partition", "separator, /", partition<false>},
    {"removeprefix", "prefix, /", remove_affix<false>},
    {"removesuffix", "suffix, /", remove_affix<true>},
    {"replace", "old, new, count?, /", replace},
    {"rfind", "needle, start?, end?, /", find<true, false>},
    {"rindex", "needle, start?, end?, /", find<true, true>},
    {"rjust", "width, fill?, /", pad<Align::kRight>},
    {"rpartition", "separator, /", partition<true>},
    {"rsplit", "sep?, maxsplit?", split<true>},
    {"rstrip", "chars?, /", strip<false, true>},
    {"split", "sep?, maxsplit?", split<false>},
    {"splitlines", "keepends?", splitlines},
    {"startswith", "prefix, start?, end?, /", has_affix<false>},
    {"strip", "chars?, /", strip<true, true>},
    {"swapcase", "", mapped<swap_case>},
    {"title", "", mapped<python_title>},
    {"upper", "", mapped<to_upper>},
    {"zfill", "width, /", zfill},
};
constexpr std::string_view kRefused[] = {"casefold",     "encode",    "expandtabs", "format_map",
                                         "isidentifier", "maketrans", "translate"};

}  // namespace

Value string_method(const Value& self, std::string_view name) {
  for (const Method& method : kMethods) {
    if (method.name != name) continue;
    const auto call = [self, &method](Evaluator& evaluator, Arguments& arguments) {
      Bound bound(method.name, method.signature, std::move(arguments));
      return method.run(evaluator, self.text(), bound);
    };
    return Value(std::make_shared<Function>(std::string(name), call));
  }
  if (std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused)) {
    refuse(fmt::format("the string method '{}' is not supported", name));
  }
  return Value::missing();
}

}  // namespace mica::jinja
