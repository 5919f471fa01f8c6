// Filters on lists, dicts and iterators as a whole.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filter_lists.h"

namespace mica::jinja {
namespace {

Value attribute_of(Evaluator& evaluator, Bound& arguments) {
  const Value found = evaluator.own_attribute(arguments[0], arguments.string(1)->bytes);
  if (!found.is_missing()) return found;
  return Value::undefined(fmt::format("a {} has no attribute '{}'", type_name(arguments[0]),
                                      arguments[1].text().bytes));
}

Values batches(Evaluator& evaluator, const Bound& arguments) {
  const int64_t size = arguments.integer(1, 0);
  Values out;
  Values current;
  for (Value& value : to_values(evaluator.budget, arguments[0])) {
    if (static_cast<int64_t>(current.size()) == size) {
      out.push_back(make_list(std::exchange(current, {})));
    }
    current.push_back(std::move(value));
  }
  if (!current.empty()) {
    while (arguments.has_value(2) && static_cast<int64_t>(current.size()) < size) {
      evaluator.budget.charge(1);
      current.push_back(arguments[2]);
    }
    out.push_back(make_list(std::move(current)));
  }
  return out;
}

Values slices(Evaluator& evaluator, const Bound& arguments) {
  const Values items = to_values(evaluator.budget, arguments[0]);
  const int64_t count = arguments.integer(1, 0);
  if (count == 0) fail("slice() needs a number of slices that is not zero");
  Values out;
  const auto length = static_cast<int64_t>(items.size());
  int64_t at = 0;
  for (int64_t i = 0; i < count; ++i) {
    evaluator.budget.charge(1);
    const bool has_extra = i < length % count;
    const int64_t end = at + length / count + (has_extra ? 1 : 0);
    Values part(items.begin() + at, items.begin() + end);
    if (arguments.has_value(2) && !has_extra) part.push_back(arguments[2]);
    out.push_back(make_list(std::move(part)));
    at = end;
  }
  return out;
}

Value batch(Evaluator& evaluator, Bound& arguments) {
  return generator([&] { return batches(evaluator, arguments); });
}
Value slice(Evaluator& evaluator, Bound& arguments) {
  return generator([&] { return slices(evaluator, arguments); });
}

Value preset(Evaluator&, Bound& arguments) {
  const Value& value = arguments[0];
  const bool use_preset = value.is(Type::kUndefined) || (arguments.flag(2) && !truth(value));
  if (!use_preset) return value;
  return arguments.has(1) ? arguments[1] : Value(std::string());
}

Value dict_sort(Evaluator& evaluator, Bound& arguments) {
  const std::string by = arguments.has(2) ? arguments.string(2)->bytes : "key";
  if (by != "key" && by != "value") fail("dictsort() sorts by 'key' or 'value'");
  if (!arguments[0].is(Type::kDict)) fail("dictsort() needs a dict");
  const bool reverse = arguments.flag(3);
  const AttributeGetter getter(Value(int64_t{by == "key" ? 0 : 1}), !arguments.flag(1));
  Entries keyed;
  for (const auto& [key, value] : arguments[0].as<Dict>().entries) {
    Value pair = make_tuple({key, value});
    keyed.emplace_back(getter.get(evaluator, pair), pair);
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return order(evaluator.budget, (reverse ? b : a).first, (reverse ? a : b).first) < 0;
  });
  Values out;
  for (auto& [key, pair] : keyed) out.push_back(std::move(pair));
  return make_list(std::move(out));
}

Value first(Evaluator& evaluator, Bound& arguments) {
  Value value;
  if (iterate(evaluator.budget, arguments[0])->next(value)) return value;
  return Value::undefined("there is no first item");
}

// Items from the last to the first; fails for iterators, which have no end to start from.
Values backwards(Evaluator& evaluator, const Value& value) {
  if (length_of(value) < 0) fail(fmt::format("a {} cannot be reversed", type_name(value)));
  Values items = to_values(evaluator.budget, value);
  std::reverse(items.begin(), items.end());
  return items;
}

Value last(Evaluator& evaluator, Bound& arguments) {
  const Values items = backwards(evaluator, arguments[0]);
  return items.empty() ? Value::undefined("there is no last item") : items.front();
}

Value reverse(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  if (value.is(Type::kString)) return evaluator.slice(value, Value(), Value(), Value(int64_t{-1}));
  if (length_of(value) >= 0) return generator([&] { return backwards(evaluator, value); });
  Values items = to_values(evaluator.budget, value);
  std::reverse(items.begin(), items.end());
  return make_list(std::move(items));
}

Value items(Evaluator& evaluator, Bound& arguments) {
  return generator([&] {
    const Value& value = arguments[0];
    if (value.is(Type::kUndefined)) return Values();
    if (!value.is(Type::kDict)) fail(fmt::format("items() needs a dict, not {}", type_name(value)));
    const auto view = std::make_shared<DictView>(value.object(), DictView::Part::kItems);
    return to_values(evaluator.budget, Value(view));
  });
}

Value join(Evaluator& evaluator, Bound& arguments) {
  const TextPtr separator =
      arguments.has(1) ? evaluator.text_of(arguments[1]) : std::make_shared<const Text>();
  const AttributeGetter getter(arguments[2], false);
  const std::shared_ptr<Iterator> iterator = iterate(evaluator.budget, arguments[0]);
  TextBuilder out(evaluator.budget);
  bool is_first = true;
  for (Value value; iterator->next(value);) {
    if (!std::exchange(is_first, false)) out.append(*separator);
    out.append(*evaluator.text_of(getter.get(evaluator, value)));
  }
  return Value(out.take());
}

Value length(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  if (value.is(Type::kString)) evaluator.budget.charge_characters(value.text().bytes.size());
  if (value.is(Type::kLoop)) return evaluator.attribute(value, "length");
  const int64_t size = length_of(value);
  if (size < 0) fail(fmt::format("a {} has no length", type_name(value)));
  return Value(size);
}

Value list(Evaluator& evaluator, Bound& arguments) {
  return make_list(to_values(evaluator.budget, arguments[0]));
}

constexpr FilterEntry kFilters[] = {
    {"attr", "obj, name", attribute_of},
    {"batch", "value, linecount, fill_with?", batch},
    {"count", "obj, /", length},
    {"d", "value, default_value?, boolean?", preset},
    {"default", "value, default_value?, boolean?", preset},
    {"dictsort", "value, case_sensitive?, by?, reverse?", dict_sort},
    {"first", "seq", first},
    {"items", "value", items},
    {"join", "value, d?, attribute?", join},
    {"last", "seq", last},
    {"length", "obj, /", length},
    {"list", "value", list},
    {"reverse", "value", reverse},
    {"slice", "value, slices, fill_with?", slice},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() {
  return kFilters;
}

}  // namespace mica::jinja
