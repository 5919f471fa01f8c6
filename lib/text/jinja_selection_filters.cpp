// Filters that look into the items: by attribute, by another filter or by a test.
//
// map, select and the like are lazy, as in Python: nothing is evaluated, and nothing can fail,
// until somebody asks for the first item.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filter_lists.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

Value lower_case(Evaluator& evaluator, const Value& value) {
  if (!value.is(Type::kString)) return value;
  evaluator.budget.charge_characters(value.text().bytes.size());
  return Value(to_lower(value.text().bytes));
}

// A generator over `source` (nothing when that is false). `start` is called before the first item
// and gives what is called for each: step(item) makes the result of the item, or says to leave it
// out.
using Step = std::function<bool(Value& item)>;
Value lazily(Evaluator& evaluator, const Value& source, int argument_nesting,
             std::function<Step()> start) {
  const auto next = [&evaluator, source, start = std::move(start), step = Step(),
                     from = std::shared_ptr<Iterator>()](Value& value) mutable {
    if (!truth(source)) return false;
    if (!step) {
      step = start();
      from = iterate(evaluator.budget, source);
    }
    const Budget::Level level(evaluator.budget);  // generators may feed one another
    while (from->next(value)) {
      evaluator.budget.charge(1);
      if (step(value)) return true;
    }
    return false;
  };
  return Value(std::make_shared<Iterator>(next, std::max(source.nesting(), argument_nesting)));
}

int nesting_of(const Arguments& arguments) {
  int nesting = 0;
  for (const Value& value : arguments.positional) nesting = std::max(nesting, value.nesting());
  for (const auto& [name, value] : arguments.named) nesting = std::max(nesting, value.nesting());
  return nesting;
}

Value pop_first(Arguments& arguments, const char* what) {
  if (arguments.positional.empty()) fail(fmt::format("{} is missing", what));
  Value value = std::move(arguments.positional.front());
  arguments.positional.erase(arguments.positional.begin());
  return value;
}

Step map_by_attribute(Evaluator& evaluator, const Arguments& arguments) {
  Value attribute;
  Value preset = Value::missing();
  for (const auto& [name, value] : arguments.named) {
    if (name == "attribute") {
      attribute = value;
    } else if (name == "default") {
      preset = value.is(Type::kNone) ? preset : value;
    } else {
      fail(fmt::format("map() takes no argument '{}'", name));
    }
  }
  return [&evaluator, getter = AttributeGetter(attribute, false, preset)](Value& item) {
    item = getter.get(evaluator, item);
    return true;
  };
}

Value map(Evaluator& evaluator, Bound& bound) {
  const auto start = [&evaluator, given = bound.rest]() -> Step {
    Arguments arguments = given;
    const bool by_attribute =
        arguments.positional.empty() &&
        std::any_of(arguments.named.begin(), arguments.named.end(),
                    [](const auto& argument) { return argument.first == "attribute"; });
    if (by_attribute) return map_by_attribute(evaluator, arguments);
    const Value name = pop_first(arguments, "the filter of map()");
    const FilterEntry* filter = name.is(Type::kString) ? find_filter(name.text().bytes) : nullptr;
    if (!filter) fail(fmt::format("there is no filter '{}'", evaluator.text_of(name)->bytes));
    return [&evaluator, filter, arguments](Value& item) {
      item = call_filter(evaluator, *filter, item, arguments);
      return true;
    };
  };
  return lazily(evaluator, bound[0], nesting_of(bound.rest), start);
}

template <bool keep, bool by_attribute>
Value select(Evaluator& evaluator, Bound& bound) {
  const auto start = [&evaluator, given = bound.rest]() -> Step {
    Arguments arguments = given;
    Value attribute;
    if constexpr (by_attribute) attribute = pop_first(arguments, "the name of the attribute");
    const AttributeGetter getter(attribute, false);
    if (arguments.positional.empty()) {
      return
          [&evaluator, getter](Value& item) { return truth(getter.get(evaluator, item)) == keep; };
    }
    const Value name = pop_first(arguments, "the name of the test");
    const TestEntry* test = name.is(Type::kString) ? find_test(name.text().bytes) : nullptr;
    if (!test) fail(fmt::format("there is no test '{}'", evaluator.text_of(name)->bytes));
    return [&evaluator, getter, test, arguments](Value& item) {
      return call_test(evaluator, *test, getter.get(evaluator, item), arguments) == keep;
    };
  };
  return lazily(evaluator, bound[0], nesting_of(bound.rest), start);
}

// Items with the keys they are compared by.
Entries with_keys(Evaluator& evaluator, const Value& source, const AttributeGetter& getter) {
  Entries keyed;
  for (Value& value : to_values(evaluator.budget, source)) {
    Value key = getter.get(evaluator, value);
    keyed.emplace_back(std::move(key), std::move(value));
  }
  return keyed;
}

void sort_by_keys(Evaluator& evaluator, Entries& keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return order(evaluator.budget, (reverse ? b : a).first, (reverse ? a : b).first) < 0;
  });
}

Value sort(Evaluator& evaluator, Bound& arguments) {
  const bool ignore_case = !arguments.flag(2);
  std::vector<AttributeGetter> getters;
  if (arguments[3].is(Type::kString)) {  // several attributes, with commas between
    std::string_view rest = arguments[3].text().bytes;
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      getters.emplace_back(Value(std::string(rest.substr(0, comma))), ignore_case);
      more = comma != rest.npos;
      if (more) rest.remove_prefix(comma + 1);
    }
  } else {
    getters.emplace_back(arguments[3], ignore_case);
  }
  Entries keyed;
  for (Value& value : to_values(evaluator.budget, arguments[0])) {
    Values key;
    for (const AttributeGetter& getter : getters) key.push_back(getter.get(evaluator, value));
    keyed.emplace_back(make_list(std::move(key)), std::move(value));
  }
  sort_by_keys(evaluator, keyed, arguments.flag(1));
  Values out;
  for (auto& [key, value] : keyed) out.push_back(std::move(value));
  return make_list(std::move(out));
}

Value unique(Evaluator& evaluator, Bound& arguments) {
  const AttributeGetter getter(arguments[2], !arguments.flag(1));
  return generator([&] {
    Entries seen;
    Values out;
    for (auto& [key, value] : with_keys(evaluator, arguments[0], getter)) {
      if (find_entry(evaluator.budget, seen, key)) continue;
      seen.emplace_back(key, Value());
      out.push_back(value);
    }
    return out;
  });
}

template <bool greatest>
Value extreme(Evaluator& evaluator, Bound& arguments) {
  const AttributeGetter getter(arguments[2], !arguments.flag(1));
  const Entries keyed = with_keys(evaluator, arguments[0], getter);
  if (keyed.empty()) return Value::undefined("the sequence is empty");
  const auto* best = &keyed.front();
  for (const auto& entry : keyed) {
    if (&entry == &keyed.front()) continue;
    const auto comparison = order(evaluator.budget, entry.first, best->first, greatest ? ">" : "<");
    if (greatest ? comparison > 0 : comparison < 0) best = &entry;
  }
  return best->second;
}

Value sum(Evaluator& evaluator, Bound& arguments) {
  const AttributeGetter getter(arguments[1], false);
  Value total = arguments.has(2) ? arguments[2] : Value(int64_t{0});
  if (total.is(Type::kString)) fail("sum() cannot join strings");
  for (const Value& value : to_values(evaluator.budget, arguments[0])) {
    total = binary(evaluator, BinaryOperator::kAdd, total, getter.get(evaluator, value));
  }
  return total;
}

Value group_by(Evaluator& evaluator, Bound& arguments) {
  const Value preset = arguments.has_value(2) ? arguments[2] : Value::missing();
  const bool ignore_case = !arguments.flag(3);
  const AttributeGetter getter(arguments[1], ignore_case, preset);
  const AttributeGetter exact(arguments[1], false, preset);
  Entries keyed = with_keys(evaluator, arguments[0], getter);
  sort_by_keys(evaluator, keyed, false);
  Values groups;
  for (size_t i = 0; i < keyed.size();) {
    Values members;
    const Value key = keyed[i].first;
    const Value grouper = exact.get(evaluator, keyed[i].second);
    for (; i < keyed.size() && equal(evaluator.budget, keyed[i].first, key); ++i) {
      members.push_back(keyed[i].second);
    }
    if (members.empty()) fail("groupby() has a key that does not equal itself");
    groups.push_back(Value(std::make_shared<Sequence>(grouper, make_list(std::move(members)))));
  }
  return make_list(std::move(groups));
}

constexpr FilterEntry kFilters[] = {
    {"groupby", "value, attribute, default?, case_sensitive?", group_by},
    {"map", "value, *", map},
    {"max", "value, case_sensitive?, attribute?", extreme<true>},
    {"min", "value, case_sensitive?, attribute?", extreme<false>},
    {"reject", "value, *", select<false, false>},
    {"rejectattr", "value, *", select<false, true>},
    {"select", "value, *", select<true, false>},
    {"selectattr", "value, *", select<true, true>},
    {"sort", "value, reverse?, case_sensitive?, attribute?", sort},
    {"sum", "iterable, attribute?, start?", sum},
    {"unique", "value, case_sensitive?, attribute?", unique},
};

}  // namespace

AttributeGetter::AttributeGetter(const Value& attribute, bool ignore_case, Value preset)
    : ignore_case_(ignore_case), preset_(std::move(preset)) {
  if (attribute.is(Type::kNone)) return;
  if (!attribute.is(Type::kString)) {
    parts_.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.text().bytes;
  for (bool more = true; more;) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    const bool is_index =
        !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    parts_.push_back(is_index ? Value(int64_t{std::stoi(std::string(part))})
                              : Value(std::string(part)));
    more = dot != rest.npos;
    if (more) rest.remove_prefix(dot + 1);
  }
}

Value AttributeGetter::get(Evaluator& evaluator, Value item) const {
  for (const Value& part : parts_) {
    item = evaluator.item(item, part);
    if (item.is(Type::kUndefined) && !preset_.is_missing()) item = preset_;
  }
  return ignore_case_ ? lower_case(evaluator, item) : item;
}

std::span<const FilterEntry> selection_filters() {
  return kFilters;
}

}  // namespace mica::jinja
