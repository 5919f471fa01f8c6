// The tests behind "is".
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filters.h"
#include "lib/text/jinja_strings.h"

namespace mica::jinja {
namespace {

template <Type type>
bool is_type(Evaluator&, Bound& arguments) {
  return arguments[0].is(type);
}

template <Comparison comparison>
bool compares(Evaluator& evaluator, Bound& arguments) {
  return compare(evaluator.budget, comparison, arguments[0], arguments[1]);
}

bool has_remainder(Evaluator& evaluator, const Value& value, int64_t divisor, int64_t remainder) {
  const Value rest = binary(evaluator, BinaryOperator::kModulo, value, Value(divisor));
  return equal(evaluator.budget, rest, Value(remainder));
}
bool is_odd(Evaluator& evaluator, Bound& arguments) {
  return has_remainder(evaluator, arguments[0], 2, 1);
}
bool is_even(Evaluator& evaluator, Bound& arguments) {
  return has_remainder(evaluator, arguments[0], 2, 0);
}
bool is_divisible(Evaluator& evaluator, Bound& arguments) {
  const Value rest = binary(evaluator, BinaryOperator::kModulo, arguments[0], arguments[1]);
  return equal(evaluator.budget, rest, Value(int64_t{0}));
}

bool is_defined(Evaluator&, Bound& arguments) {
  return !arguments[0].is(Type::kUndefined);
}
bool is_true(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kBool) && truth(arguments[0]);
}
bool is_false(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kBool) && !truth(arguments[0]);
}
bool is_number(Evaluator&, Bound& arguments) {
  return arguments[0].is_number();
}
bool is_mapping(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kDict);
}

bool is_sequence(Evaluator&, Bound& arguments) {
  switch (arguments[0].type()) {
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
    case Type::kUndefined:
      return true;
    default:
      return false;
  }
}
bool is_iterable(Evaluator& evaluator, Bound& arguments) {
  const Type type = arguments[0].type();
  return type == Type::kIterator || type == Type::kDictView || type == Type::kLoop ||
         is_sequence(evaluator, arguments);
}
bool is_callable(Evaluator&, Bound& arguments) {
  const Type type = arguments[0].type();
  return type == Type::kFunction || type == Type::kMacro || type == Type::kUndefined ||
         type == Type::kLoop;
}

bool is_same(Evaluator&, Bound& arguments) {
  return identical(arguments[0], arguments[1]);
}
bool is_escaped(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kString) && arguments[0].text().safe;
}
bool is_in(Evaluator& evaluator, Bound& arguments) {
  return contains(evaluator.budget, arguments[1], arguments[0]);
}
bool is_upper(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  evaluator.budget.charge_characters(text->bytes.size());
  return is_upper_string(text->bytes);
}
bool is_lower(Evaluator& evaluator, Bound& arguments) {
  const TextPtr text = evaluator.text_of(arguments[0]);
  evaluator.budget.charge_characters(text->bytes.size());
  return is_lower_string(text->bytes);
}
bool is_filter(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kString) && is_filter_name(arguments[0].text().bytes);
}
bool is_test(Evaluator&, Bound& arguments) {
  return arguments[0].is(Type::kString) && find_test(arguments[0].text().bytes) != nullptr;
}

constexpr TestEntry kTests[] = {
    {"odd", "value", is_odd},
    {"even", "value", is_even},
    {"divisibleby", "value, num", is_divisible},
    {"defined", "value", is_defined},
    {"undefined", "value", is_type<Type::kUndefined>},
    {"filter", "value", is_filter},
    {"test", "value", is_test},
    {"none", "value", is_type<Type::kNone>},
    {"boolean", "value", is_type<Type::kBool>},
    {"false", "value", is_false},
    {"true", "value", is_true},
    {"integer", "value", is_type<Type::kInt>},
    {"float", "value", is_type<Type::kFloat>},
    {"lower", "value", is_lower},
    {"upper", "value", is_upper},
    {"string", "value", is_type<Type::kString>},
    {"mapping", "value", is_mapping},
    {"number", "value", is_number},
    {"sequence", "value", is_sequence},
    {"iterable", "value", is_iterable},
    {"callable", "value, /", is_callable},
    {"sameas", "value, other", is_same},
    {"escaped", "value", is_escaped},
    {"in", "value, seq", is_in},
    {"==", "a, b, /", compares<Comparison::kEqual>},
    {"eq", "a, b, /", compares<Comparison::kEqual>},
    {"equalto", "a, b, /", compares<Comparison::kEqual>},
    {"!=", "a, b, /", compares<Comparison::kNotEqual>},
    {"ne", "a, b, /", compares<Comparison::kNotEqual>},
    {">", "a, b, /", compares<Comparison::kGreater>},
    {"gt", "a, b, /", compares<Comparison::kGreater>},
    {"greaterthan", "a, b, /", compares<Comparison::kGreater>},
    {">=", "a, b, /", compares<Comparison::kGreaterEqual>},
    {"ge", "a, b, /", compares<Comparison::kGreaterEqual>},
    {"<", "a, b, /", compares<Comparison::kLess>},
    {"lt", "a, b, /", compares<Comparison::kLess>},
    {"lessthan", "a, b, /", compares<Comparison::kLess>},
    {"<=", "a, b, /", compares<Comparison::kLessEqual>},
    {"le", "a, b, /", compares<Comparison::kLessEqual>},
};

}  // namespace

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& test : kTests) {
    if (test.name == name) return &test;
  }
  return nullptr;
}

bool call_test(Evaluator& evaluator, const TestEntry& test, Value subject, Arguments arguments) {
  arguments.positional.insert(arguments.positional.begin(), std::move(subject));
  Bound bound(test.name, test.signature, std::move(arguments));
  return test.run(evaluator, bound);
}

}  // namespace mica::jinja
