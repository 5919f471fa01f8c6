// Going through values one after another.
#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_unicode.h"
#include "lib/text/jinja_value.h"

namespace mica::jinja {
namespace {

Iterator::Next over_text(Budget& budget, TextPtr text) {
  return [&budget, text = std::move(text), at = size_t{0}](Value& value) mutable {
    if (at == text->bytes.size()) return false;
    const size_t end = at + character_at(text->bytes, at).bytes;
    Text character = sub_text(budget, *text, at, end);
    character.safe = false;
    value = Value(std::move(character));
    at = end;
    return true;
  };
}

// Items [0, count) of what `owner` keeps alive, read by get(index).
template <class Get>
Iterator::Next over_items(Budget& budget, std::shared_ptr<Object> owner, size_t count, Get get) {
  return [&budget, owner = std::move(owner), count, get, at = size_t{0}](Value& value) mutable {
    if (at == count) return false;
    budget.charge(1);
    value = get(*owner, at++);
    return true;
  };
}

}  // namespace

std::shared_ptr<Iterator> iterate(Budget& budget, const Value& value) {
  const auto count =
      static_cast<size_t>(std::max<int64_t>(0, value.is(Type::kString) ? 0 : length_of(value)));
  Iterator::Next next;
  switch (value.type()) {
    case Type::kIterator:
      return std::static_pointer_cast<Iterator>(value.object());
    case Type::kUndefined:
      next = [](Value&) { return false; };
      break;
    case Type::kString:
      next = over_text(budget, value.text_ptr());
      break;
    case Type::kList:
    case Type::kTuple:
      next = over_items(budget, value.object(), count, [](const Object& object, size_t i) {
        return static_cast<const Sequence&>(object).items[i];
      });
      break;
    case Type::kDict:
      next = over_items(budget, value.object(), count, [](const Object& object, size_t i) {
        return static_cast<const Dict&>(object).entries[i].first;
      });
      break;
    case Type::kDictView:
      next = over_items(budget, value.object(), count, [](const Object& object, size_t i) {
        return static_cast<const DictView&>(object).at(i);
      });
      break;
    case Type::kRange:
      next = over_items(budget, value.object(), count, [](const Object& object, size_t i) {
        const auto& range = static_cast<const Range&>(object);
        return Value(range.at(i));
      });
      break;
    default:
      fail(fmt::format("a {} cannot be iterated over", type_name(value)));
  }
  return std::make_shared<Iterator>(std::move(next), value.nesting());
}

Values to_values(Budget& budget, const Value& value) {
  if (value.is_sequence()) {
    const Values& items = value.as<Sequence>().items;
    budget.charge(items.size());
    return items;
  }
  Values out;
  const std::shared_ptr<Iterator> iterator = iterate(budget, value);
  for (Value next; iterator->next(next);) {
    budget.charge(1);
    out.push_back(std::move(next));
  }
  return out;
}

}  // namespace mica::jinja
