// The methods of dicts, lists, tuples and ranges. Those that change a container are unsafe to the
// sandbox: they look undefined, and calling them fails.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filters.h"

namespace mica::jinja {
namespace {

struct Method {
  std::string_view name;
  std::string_view signature;
  Value (*run)(Evaluator& evaluator, const Value& self, Bound& arguments);
};

Value get(Evaluator& evaluator, const Value& self, Bound& arguments) {
  const Value* found = find_entry(evaluator.budget, self.as<Dict>().entries, arguments[0]);
  if (found) return *found;
  return arguments.has(1) ? arguments[1] : Value();
}

Value fromkeys(Evaluator& evaluator, const Value&, Bound& arguments) {
  Entries entries;
  for (const Value& key : to_values(evaluator.budget, arguments[0])) {
    set_entry(evaluator.budget, entries, key, arguments[1]);
  }
  return Value(std::make_shared<Dict>(std::move(entries)));
}

template <DictView::Part part>
Value view(Evaluator&, const Value& self, Bound&) {
  return Value(std::make_shared<DictView>(self.object(), part));
}

Value same(Evaluator&, const Value& self, Bound&) {
  return self;
}  // a copy cannot be told apart

// Items of a list, tuple or range that equal the argument: how many, or where the first one is.
template <bool first_index>
Value occurrences(Evaluator& evaluator, const Value& self, Bound& arguments) {
  const Values items = to_values(evaluator.budget, self);
  const auto length = static_cast<int64_t>(items.size());
  const auto clamp = [&](size_t index, int64_t preset) {
    const int64_t value = arguments.integer(index, preset);
    return std::clamp<int64_t>(value < 0 ? value + length : value, 0, length);
  };
  const int64_t end = first_index ? clamp(2, length) : length;
  int64_t found = 0;
  for (int64_t i = first_index ? clamp(1, 0) : 0; i < end; ++i) {
    if (!equal(evaluator.budget, items[static_cast<size_t>(i)], arguments[0])) continue;
    if (first_index) return Value(i);
    ++found;
  }
  if (first_index) fail("index() does not find the value");
  return Value(found);
}

constexpr Method kDictMethods[] = {
    {"copy", "", same},
    {"fromkeys", "keys, value?, /", fromkeys},
    {"get", "key, preset?, /", get},
    {"items", "", view<DictView::Part::kItems>},
    {"keys", "", view<DictView::Part::kKeys>},
    {"values", "", view<DictView::Part::kValues>},
};
constexpr std::string_view kUnsafeDictMethods[] = {"clear", "pop", "popitem", "setdefault",
                                                   "update"};
constexpr Method kSequenceMethods[] = {
    {"count", "value, /", occurrences<false>},
    {"index", "value, start?, end?, /", occurrences<true>},
};
constexpr std::string_view kUnsafeListMethods[] = {"append", "clear",  "extend",  "insert",
                                                   "pop",    "remove", "reverse", "sort"};

Value bind(const Value& self, const Method& method) {
  const auto call = [self, &method](Evaluator& evaluator, Arguments& arguments) {
    Bound bound(method.name, method.signature, std::move(arguments));
    return method.run(evaluator, self, bound);
  };
  return Value(std::make_shared<Function>(std::string(method.name), call, self.nesting()));
}

template <size_t methods, size_t unsafes>
Value choose(const Value& self, std::string_view name, const Method (&table)[methods],
             const std::string_view (&unsafe)[unsafes]) {
  for (const Method& method : table) {
    if (method.name == name) return bind(self, method);
  }
  if (std::find(std::begin(unsafe), std::end(unsafe), name) == std::end(unsafe))
    return Value::missing();
  return Value::undefined(
      fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(self)));
}

}  // namespace

Value container_method(const Value& self, std::string_view name) {
  switch (self.type()) {
    case Type::kDict:
      return choose(self, name, kDictMethods, kUnsafeDictMethods);
    case Type::kFunction:  // of the global dict
      if (self.as<Function>().name != "dict" || name != "fromkeys") return Value::missing();
      return bind(self, kDictMethods[1]);
    case Type::kList:
      if (name == "copy") return bind(self, kDictMethods[0]);
      return choose(self, name, kSequenceMethods, kUnsafeListMethods);
    case Type::kTuple:
      if (self.as<Sequence>().is_group && name == "grouper") return self.as<Sequence>().items[0];
      if (self.as<Sequence>().is_group && name == "list") return self.as<Sequence>().items[1];
      [[fallthrough]];
    case Type::kRange:
      if (self.is(Type::kRange)) {
        if (name == "start") return Value(self.as<Range>().start);
        if (name == "stop") return Value(self.as<Range>().stop);
        if (name == "step") return Value(self.as<Range>().step);
      }
      for (const Method& method : kSequenceMethods) {
        if (method.name == name) return bind(self, method);
      }
      return Value::missing();
    default:
      return Value::missing();
  }
}

}  // namespace mica::jinja
