#include "lib/text/jinja_value.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

int deepest(const Values& values) {
  int depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.nesting());
  return depth;
}

int64_t range_count(int64_t start, int64_t stop, int64_t step) {
  const auto bits = [](int64_t value) { return static_cast<uint64_t>(value); };
  const bool is_empty = step > 0 ? start >= stop : start <= stop;
  const uint64_t distance = step > 0 ? bits(stop) - bits(start) : bits(start) - bits(stop);
  const uint64_t stride = step > 0 ? bits(step) : 0 - bits(step);
  const uint64_t count = is_empty ? 0 : (distance - 1) / stride + 1;
  constexpr int64_t kMaxRange = 100000;  // jinja2.sandbox.MAX_RANGE
  if (count > kMaxRange) fail(fmt::format("range() has more than {} items", kMaxRange));
  return static_cast<int64_t>(count);
}

}  // namespace

int nested(int inner) {
  if (inner >= Budget::kMaxNesting) {
    fail(fmt::format("values are nested deeper than {} levels", Budget::kMaxNesting));
  }
  return inner + 1;
}

Sequence::Sequence(Type sequence_type, Values values)
    : Object(sequence_type), items(std::move(values)) {
  nesting = nested(deepest(items));
}
Sequence::Sequence(Value grouper, Value list)
    : Object(Type::kTuple), items{std::move(grouper), std::move(list)}, is_group(true) {
  nesting = nested(deepest(items));
}
Dict::Dict(Entries all) : Object(Type::kDict), entries(std::move(all)) {
  int depth = 0;
  for (const auto& [key, value] : entries) {
    depth = std::max({depth, key.nesting(), value.nesting()});
  }
  nesting = nested(depth);
}
Range::Range(int64_t first, int64_t end, int64_t by)
    : Object(Type::kRange), start(first), stop(end), step(by), count(range_count(first, end, by)) {}
DictView::DictView(std::shared_ptr<Object> of, Part which)
    : Object(Type::kDictView), dict_object(std::move(of)), part(which) {
  nesting = nested(dict_object->nesting);
}
Iterator::Iterator(Next next_value, int source_nesting)
    : Object(Type::kIterator), next(std::move(next_value)) {
  nesting = nested(source_nesting);
}
Function::Function(std::string function_name, Call function_call, int self_nesting)
    : Object(Type::kFunction), name(std::move(function_name)), call(std::move(function_call)) {
  nesting = nested(self_nesting);
}
Cycler::Cycler(Values values) : Object(Type::kCycler), items(std::move(values)) {
  nesting = nested(deepest(items));
}

Value DictView::at(size_t index) const {
  const auto& [key, value] = dict().entries[index];
  if (part == Part::kKeys) return key;
  if (part == Part::kValues) return value;
  return make_tuple({key, value});
}

Value make_list(Values items) {
  return Value(std::make_shared<Sequence>(Type::kList, std::move(items)));
}
Value make_tuple(Values items) {
  return Value(std::make_shared<Sequence>(Type::kTuple, std::move(items)));
}

Value Value::undefined(std::string message) {
  Value value = missing();
  value.pointer_ = std::make_shared<std::string>(std::move(message));
  return value;
}
Value Value::missing() {
  Value value;
  value.type_ = Type::kUndefined;
  return value;
}
double Value::as_float() const {
  return type_ == Type::kFloat ? std::bit_cast<double>(bits_) : static_cast<double>(bits_);
}

std::string type_name(const Value& value) {
  static constexpr const char* kNames[] = {
      "Undefined", "NoneType", "bool",  "int",         "float", "str",
      "list",      "tuple",    "dict",  "Namespace",   "range", "dict view",
      "generator", "function", "Macro", "LoopContext", "Cycler"};
  return kNames[static_cast<size_t>(value.type())];
}

int64_t length_of(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 0;
    case Type::kString:
      return static_cast<int64_t>(count_characters(value.text().bytes));
    case Type::kList:
    case Type::kTuple:
      return static_cast<int64_t>(value.as<Sequence>().items.size());
    case Type::kDict:
      return static_cast<int64_t>(value.as<Dict>().entries.size());
    case Type::kDictView:
      return static_cast<int64_t>(value.as<DictView>().dict().entries.size());
    case Type::kRange:
      return value.as<Range>().count;
    default:
      return -1;
  }
}

bool truth(const Value& value) {
  switch (value.type()) {
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return value.as_int() != 0;
    case Type::kFloat:
      return value.as_float() != 0;
    case Type::kString:
      return !value.text().bytes.empty();
    default:
      return length_of(value) != 0;
  }
}

}  // namespace mica::jinja
