// a.b, a[b] and a[b:c:d].
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

Value no_attribute(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("a {} has no attribute '{}'", type_name(object), name));
}

Value loop_attribute(Evaluator& evaluator, const Value& self, std::string_view name) {
  auto& loop = self.as<Loop>();
  if (name == "index") return Value(loop.index0 + 1);
  if (name == "index0") return Value(loop.index0);
  if (name == "first") return Value(loop.index0 == 0);
  if (name == "last") return Value(!loop.peek());
  if (name == "length") return Value(loop.length(evaluator.budget));
  if (name == "revindex") return Value(loop.length(evaluator.budget) - loop.index0);
  if (name == "revindex0") return Value(loop.length(evaluator.budget) - loop.index0 - 1);
  if (name == "depth") return Value(int64_t{1});
  if (name == "depth0") return Value(int64_t{0});
  if (name == "previtem") {
    return loop.index0 > 0 ? loop.before : Value::undefined("there is no previous item");
  }
  if (name == "nextitem")
    return loop.peek() ? loop.after : Value::undefined("there is no next item");
  if (name == "cycle") {
    const auto cycle = [self](Evaluator&, Arguments& arguments) {
      if (arguments.positional.empty()) fail("loop.cycle() needs at least one value");
      const auto index = static_cast<size_t>(self.as<Loop>().index0);
      return arguments.positional[index % arguments.positional.size()];
    };
    return Value(std::make_shared<Function>("cycle", cycle, self.nesting()));
  }
  if (name == "changed") {
    const auto changed = [self](Evaluator& ev, Arguments& arguments) {
      auto& key = self.as<Loop>();
      const bool is_same =
          key.has_changed_key &&
          std::equal(key.changed_key.begin(), key.changed_key.end(), arguments.positional.begin(),
                     arguments.positional.end(),
                     [&](const Value& a, const Value& b) { return equal(ev.budget, a, b); });
      if (is_same) return Value(false);
      key.has_changed_key = true;
      key.changed_key = std::move(arguments.positional);
      return Value(true);
    };
    return Value(std::make_shared<Function>("changed", changed, self.nesting()));
  }
  return Value::missing();
}

Value cycler_attribute(const Value& self, std::string_view name) {
  const auto& cycler = self.as<Cycler>();
  if (name == "current") return cycler.items[cycler.position];
  if (name == "items") return make_tuple(cycler.items);
  if (name == "pos") return Value(static_cast<int64_t>(cycler.position));
  const bool is_next = name == "next";
  if (!is_next && name != "reset") return Value::missing();
  const auto step = [self, is_next](Evaluator&, Arguments&) {
    auto& state = self.as<Cycler>();
    const Value value = is_next ? state.items[state.position] : Value();
    state.position = is_next ? (state.position + 1) % state.items.size() : 0;
    return value;
  };
  return Value(std::make_shared<Function>(std::string(name), step, self.nesting()));
}

Value macro_attribute(const Value& self, std::string_view name) {
  const MacroDefinition& definition = self.as<Macro>().definition;
  if (name == "name") return Value(definition.name);
  if (name == "catch_kwargs") return Value(definition.kwargs != nullptr);
  if (name == "catch_varargs") return Value(definition.varargs != nullptr);
  if (name == "caller") return Value(definition.caller != nullptr);
  if (name != "arguments") return Value::missing();
  Values names;
  for (const MacroParameter& parameter : definition.parameters) names.emplace_back(*parameter.name);
  return make_tuple(std::move(names));
}

Value item_at(const Value& object, const Value& key, int64_t count, auto get) {
  if (!key.is_integral()) return Value::missing();
  const int64_t index = key.as_int() < 0 ? key.as_int() + count : key.as_int();
  if (index < 0 || index >= count) {
    return Value::undefined(fmt::format("a {} has no element {}", type_name(object), key.as_int()));
  }
  return get(static_cast<size_t>(index));
}

// What obj[key] finds, or missing (undefined for an index outside).
Value python_item(Evaluator& evaluator, const Value& object, const Value& key) {
  switch (object.type()) {
    case Type::kUndefined:
      fail(object.undefined_message());
    case Type::kDict: {
      if (key.is(Type::kList) || key.is(Type::kDict)) return Value::missing();
      const Value* found = find_entry(evaluator.budget, object.as<Dict>().entries, key);
      return found ? *found : Value::missing();
    }
    case Type::kList:
    case Type::kTuple: {
      const Values& items = object.as<Sequence>().items;
      return item_at(object, key, static_cast<int64_t>(items.size()),
                     [&](size_t index) { return items[index]; });
    }
    case Type::kRange:
      return item_at(object, key, object.as<Range>().count,
                     [&](size_t index) { return Value(object.as<Range>().at(index)); });
    case Type::kString: {
      if (!key.is_integral()) return Value::missing();
      const Text& text = object.text();
      evaluator.budget.charge_characters(text.bytes.size());
      return item_at(object, key, length_of(object), [&](size_t index) {
        const size_t begin = offset_of(text.bytes, index);
        const size_t end = begin + character_at(text.bytes, begin).bytes;
        return Value(sub_text(evaluator.budget, text, begin, end));
      });
    }
    default:
      return Value::missing();
  }
}

struct Indices {
  int64_t start;
  int64_t step;
  int64_t count;
};

// Python's rule for slices of `length` items.
Indices slice_indices(int64_t length, const Value& start, const Value& stop, const Value& step) {
  const auto number = [](const Value& value, int64_t preset) {
    if (value.is(Type::kNone)) return preset;
    if (value.is(Type::kUndefined)) fail(value.undefined_message());
    if (!value.is_integral()) fail(fmt::format("a slice needs integers, not {}", type_name(value)));
    return value.as_int();
  };
  const int64_t by = number(step, 1);
  if (by == 0) fail("the step of a slice cannot be zero");
  const int64_t low = by > 0 ? 0 : -1;
  const int64_t high = by > 0 ? length : length - 1;
  const auto clamp = [&](const Value& value, int64_t preset) {
    if (value.is(Type::kNone)) return preset;
    int64_t index = number(value, 0);
    if (index < 0) index += length;
    return std::clamp(index, low, high);
  };
  const int64_t first = clamp(start, by > 0 ? low : high);
  const int64_t last = clamp(stop, by > 0 ? high : low);
  const auto stride = by > 0 ? static_cast<uint64_t>(by) : 0 - static_cast<uint64_t>(by);
  const int64_t distance = by > 0 ? last - first : first - last;
  if (distance <= 0) return {first, by, 0};
  return {first, by, static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride) + 1};
}

Text slice_text(Budget& budget, const Text& text, int64_t length, const Indices& indices) {
  budget.charge_characters(text.bytes.size());
  if (indices.count == 0) return {};
  if (indices.step == 1) {
    const size_t begin = offset_of(text.bytes, static_cast<size_t>(indices.start));
    const std::string_view rest = std::string_view(text.bytes).substr(begin);
    const size_t end = begin + offset_of(rest, static_cast<size_t>(indices.count));
    return sub_text(budget, text, begin, end);
  }
  std::vector<size_t> offsets;
  offsets.reserve(static_cast<size_t>(length) + 1);
  for (size_t i = 0; i < text.bytes.size(); i += character_at(text.bytes, i).bytes) {
    offsets.push_back(i);
  }
  offsets.push_back(text.bytes.size());
  TextBuilder out(budget);
  for (int64_t i = 0; i < indices.count; ++i) {
    const auto at = static_cast<size_t>(indices.start + i * indices.step);
    out.append(text, offsets[at], offsets[at + 1]);
  }
  Text sliced = out.take();
  sliced.safe = text.safe;
  return sliced;
}

}  // namespace

Value Evaluator::own_attribute(const Value& object, std::string_view name) {
  switch (object.type()) {
    case Type::kUndefined:
      fail(object.undefined_message());
    case Type::kString:
      return string_method(object, name);
    case Type::kLoop:
      return loop_attribute(*this, object, name);
    case Type::kMacro:
      return macro_attribute(object, name);
    case Type::kCycler:
      return cycler_attribute(object, name);
    case Type::kNamespace: {
      const Value* found = find_named(budget, object.as<Namespace>().entries, name);
      return found ? *found : Value::missing();
    }
    default:
      return container_method(object, name);
  }
}

Value Evaluator::attribute(const Value& object, std::string_view name) {
  const Value found = own_attribute(object, name);
  if (!found.is_missing()) return found;
  const Value value = python_item(*this, object, Value(std::string(name)));
  return value.is_missing() ? no_attribute(object, name) : value;
}

Value Evaluator::item(const Value& object, const Value& key) {
  const Value value = python_item(*this, object, key);
  if (!value.is_missing()) return value;
  if (!key.is(Type::kString)) {
    return Value::undefined(fmt::format("a {} has no such element", type_name(object)));
  }
  const Value found = own_attribute(object, key.text().bytes);
  return found.is_missing() ? no_attribute(object, key.text().bytes) : found;
}

Value Evaluator::slice(const Value& object, const Value& start, const Value& stop,
                       const Value& step) {
  if (object.is(Type::kUndefined)) fail(object.undefined_message());
  const int64_t length = length_of(object);
  const Indices indices = slice_indices(std::max<int64_t>(length, 0), start, stop, step);
  if (object.is(Type::kString)) return Value(slice_text(budget, object.text(), length, indices));
  if (object.is(Type::kRange)) refuse("slices of range() are not supported");
  if (!object.is_sequence()) fail(fmt::format("a {} cannot be sliced", type_name(object)));
  budget.charge(static_cast<uint64_t>(indices.count));
  Values items;
  for (int64_t i = 0; i < indices.count; ++i) {
    const auto at = static_cast<size_t>(indices.start + i * indices.step);
    items.push_back(object.as<Sequence>().items[at]);
  }
  return Value(std::make_shared<Sequence>(object.type(), std::move(items)));
}

}  // namespace mica::jinja
