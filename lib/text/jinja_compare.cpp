// Equality, order and membership of values, as Python defines them.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_search.h"
#include "lib/text/jinja_value.h"

namespace mica::jinja {
namespace {

std::partial_ordering order_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.as_int() <=> b.as_int();
  // long double holds every int64 exactly, as Python's comparison of int and float does.
  const auto wide = [](const Value& v) -> long double {
    return v.is_integral() ? static_cast<long double>(v.as_int()) : v.as_float();
  };
  return wide(a) <=> wide(b);
}

bool equal_dicts(Budget& budget, const Entries& a, const Entries& b) {
  if (a.size() != b.size()) return false;
  return std::all_of(a.begin(), a.end(), [&](const auto& entry) {
    const Value* other = find_entry(budget, b, entry.first);
    return other && equal(budget, entry.second, *other);
  });
}

bool equal_ranges(const Range& a, const Range& b) {
  return a.count == b.count && (a.count == 0 || a.start == b.start) &&
         (a.count <= 1 || a.step == b.step);
}

void require_hashable(Budget& budget, const Value& key) {
  if (key.is(Type::kList) || key.is(Type::kDict)) {
    fail(fmt::format("a {} cannot be a key", type_name(key)));
  }
  if (!key.is(Type::kTuple)) return;
  for (const Value& item : key.as<Sequence>().items) {
    budget.charge(1);
    require_hashable(budget, item);
  }
}

bool contains_text(Budget& budget, const Text& container, const Value& item) {
  if (item.is(Type::kUndefined)) fail(item.undefined_message());
  if (!item.is(Type::kString)) {
    fail(fmt::format("'in <string>' requires a string on its left, not {}", type_name(item)));
  }
  return find_bytes(budget, container.bytes, item.text().bytes, 0) != std::string::npos;
}

}  // namespace

bool identical(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kUndefined:
    case Type::kNone:
      return a.is(Type::kNone);
    case Type::kBool:
    case Type::kInt:
      return a.as_int() == b.as_int();
    case Type::kFloat:
      return a.as_float() == b.as_float();
    case Type::kString:
      return a.text().bytes == b.text().bytes;
    default:
      return a.object() == b.object();
  }
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.charge(1);
  if (a.is_number() && b.is_number()) return order_numbers(a, b) == 0;
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kUndefined:
      return true;
    case Type::kString:
      budget.charge(a.text().bytes.size() / Budget::kBytesPerStep);
      return a.text().bytes == b.text().bytes;
    case Type::kList:
    case Type::kTuple: {
      const Values& left = a.as<Sequence>().items;
      const Values& right = b.as<Sequence>().items;
      return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                        [&](const Value& x, const Value& y) { return equal(budget, x, y); });
    }
    case Type::kDict:
      return equal_dicts(budget, a.as<Dict>().entries, b.as<Dict>().entries);
    case Type::kRange:
      return equal_ranges(a.as<Range>(), b.as<Range>());
    default:
      return identical(a, b);
  }
}

std::partial_ordering order(Budget& budget, const Value& a, const Value& b, const char* op) {
  budget.charge(1);
  if (a.is_number() && b.is_number()) return order_numbers(a, b);
  if (a.is(Type::kString) && b.is(Type::kString)) {
    budget.charge(a.text().bytes.size() / Budget::kBytesPerStep);
    return a.text().bytes <=> b.text().bytes;  // the order of UTF-8 is that of code points
  }
  if (a.is_sequence() && a.type() == b.type()) {
    const Values& left = a.as<Sequence>().items;
    const Values& right = b.as<Sequence>().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(budget, left[i], right[i])) return order(budget, left[i], right[i], op);
    }
    return left.size() <=> right.size();
  }
  if (a.is(Type::kUndefined)) fail(a.undefined_message());
  if (b.is(Type::kUndefined)) fail(b.undefined_message());
  fail(fmt::format("'{}' is not supported between {} and {}", op, type_name(a), type_name(b)));
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.type()) {
    case Type::kString:
      return contains_text(budget, container.text(), item);
    case Type::kDict:
      return find_entry(budget, container.as<Dict>().entries, item) != nullptr;
    default:
      break;
  }
  const std::shared_ptr<Iterator> iterator = iterate(budget, container);
  for (Value next; iterator->next(next);) {
    if (equal(budget, next, item)) return true;
  }
  return false;
}

const Value* find_entry(Budget& budget, const Entries& entries, const Value& key) {
  require_hashable(budget, key);
  if (key.is(Type::kString)) return find_named(budget, entries, key.text().bytes);
  for (const auto& [name, value] : entries) {
    if (equal(budget, name, key)) return &value;
  }
  return nullptr;
}

const Value* find_named(Budget& budget, const Entries& entries, std::string_view key) {
  budget.charge(entries.size() / 8 + 1);
  for (const auto& [name, value] : entries) {
    if (name.is(Type::kString) && name.text().bytes == key) return &value;
  }
  return nullptr;
}

void set_entry(Budget& budget, Entries& entries, Value key, Value value) {
  if (const Value* old = find_entry(budget, entries, key)) {
    const_cast<Value&>(*old) = std::move(value);
  } else {
    entries.emplace_back(std::move(key), std::move(value));
  }
}

}  // namespace mica::jinja
