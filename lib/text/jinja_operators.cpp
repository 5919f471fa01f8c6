// Arithmetic and comparison operators, with Python's rules for mixed types.
#include <cmath>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_format.h"

namespace mica::jinja {
namespace {

constexpr const char* kSpelling[] = {"+", "-", "*", "/", "//", "%", "**"};
const char* spelling(BinaryOperator op) {
  return kSpelling[static_cast<size_t>(op)];
}

[[noreturn]] void fail_overflow(BinaryOperator op) {
  refuse(fmt::format("the result of '{}' needs more than 64 bits", spelling(op)));
}

// Python rounds the quotient down, and the remainder has the divisor's sign.
int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a % b < 0) != (b < 0) ? quotient - 1 : quotient;
}
int64_t floor_modulo(int64_t a, int64_t b) {
  if (b == -1) return 0;  // the machine's remainder overflows for the least integer
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}
double floor_divide(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value integer_power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  if (base == 0 || base == 1) return Value(exponent == 0 ? int64_t{1} : base);
  if (base == -1) return Value(exponent % 2 == 0 ? int64_t{1} : int64_t{-1});
  for (; exponent > 0; --exponent) {  // at most 63 rounds before it overflows
    if (__builtin_mul_overflow(result, base, &result)) fail_overflow(BinaryOperator::kPower);
  }
  return Value(result);
}

Value integer_binary(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kPower:
      return integer_power(a, b);
    default:
      if (b == 0) fail("division by zero");
      if (op == BinaryOperator::kDivide)
        return Value(static_cast<double>(a) / static_cast<double>(b));
      if (op == BinaryOperator::kModulo) return Value(floor_modulo(a, b));
      overflows = b == -1 && a == INT64_MIN;
      if (!overflows) result = floor_divide(a, b);
  }
  if (overflows) fail_overflow(op);
  return Value(result);
}

Value float_power(double a, double b) {
  if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
    refuse("complex numbers are not supported");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b))
    fail("the result of '**' is too large");
  return Value(result);
}

Value float_binary(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kPower:
      return float_power(a, b);
    default:
      break;
  }
  if (b == 0) fail("division by zero");
  if (op == BinaryOperator::kDivide) return Value(a / b);
  return Value(op == BinaryOperator::kModulo ? floor_modulo(a, b) : floor_divide(a, b));
}

Value repeat(Evaluator& evaluator, const Value& value, int64_t times) {
  const auto count = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  if (value.is(Type::kString)) {
    const Text& text = value.text();
    TextBuilder out(evaluator.budget);
    if (!text.tainted()) {
      out.append_repeated(text.bytes, count);
    } else {
      for (uint64_t i = 0; i < count; ++i) out.append(text);
    }
    Text repeated = out.take();
    repeated.safe = text.safe;
    return Value(std::move(repeated));
  }
  const Values& items = value.as<Sequence>().items;
  Values out;
  for (uint64_t i = 0; i < count && !items.empty(); ++i) {
    evaluator.budget.charge(items.size());
    out.insert(out.end(), items.begin(), items.end());
  }
  return Value(std::make_shared<Sequence>(value.type(), std::move(out)));
}

Value join_sequences(Evaluator& evaluator, const Value& a, const Value& b) {
  Values out = to_values(evaluator.budget, a);
  for (Value& item : to_values(evaluator.budget, b)) out.push_back(std::move(item));
  return Value(std::make_shared<Sequence>(a.type(), std::move(out)));
}

bool can_repeat(const Value& value) {
  return value.is(Type::kString) || value.is_sequence();
}

}  // namespace

Value add_texts(Evaluator& evaluator, const Text& a, const Text& b) {
  TextBuilder out(evaluator.budget);
  const bool is_safe = a.safe || b.safe;
  out.append(is_safe && !a.safe ? escape_html(evaluator.budget, a) : a);
  out.append(is_safe && !b.safe ? escape_html(evaluator.budget, b) : b);
  Text joined = out.take();
  joined.safe = is_safe;
  return Value(std::move(joined));
}

Value binary(Evaluator& evaluator, BinaryOperator op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integer_binary(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_binary(op, a.as_float(), b.as_float());
  if (op == BinaryOperator::kAdd && a.is(Type::kString) && b.is(Type::kString)) {
    return add_texts(evaluator, a.text(), b.text());
  }
  if (op == BinaryOperator::kAdd && a.is_sequence() && a.type() == b.type()) {
    return join_sequences(evaluator, a, b);
  }
  if (op == BinaryOperator::kMultiply && can_repeat(a) && b.is_integral()) {
    return repeat(evaluator, a, b.as_int());
  }
  if (op == BinaryOperator::kMultiply && a.is_integral() && can_repeat(b)) {
    return repeat(evaluator, b, a.as_int());
  }
  if (op == BinaryOperator::kModulo && a.is(Type::kString)) {
    return format_percent(evaluator, a.text(), b);
  }
  if (a.is(Type::kUndefined)) fail(a.undefined_message());
  if (b.is(Type::kUndefined)) fail(b.undefined_message());
  fail(fmt::format("'{}' is not supported between {} and {}", spelling(op), type_name(a),
                   type_name(b)));
}

Value negate(const Value& value, bool minus) {
  if (value.is(Type::kUndefined)) fail(value.undefined_message());
  if (value.is(Type::kFloat)) return Value(minus ? -value.as_float() : value.as_float());
  if (!value.is_integral()) {
    fail(fmt::format("a {} has no sign to change", type_name(value)));
  }
  if (!minus) return Value(value.as_int());
  return integer_binary(BinaryOperator::kSubtract, 0, value.as_int());
}

bool compare(Budget& budget, Comparison comparison, const Value& a, const Value& b) {
  switch (comparison) {
    case Comparison::kEqual:
      return equal(budget, a, b);
    case Comparison::kNotEqual:
      return !equal(budget, a, b);
    case Comparison::kLess:
      return order(budget, a, b, "<") < 0;
    case Comparison::kLessEqual:
      return order(budget, a, b, "<=") <= 0;
    case Comparison::kGreater:
      return order(budget, a, b, ">") > 0;
    case Comparison::kGreaterEqual:
      return order(budget, a, b, ">=") >= 0;
    case Comparison::kIn:
      return contains(budget, b, a);
    case Comparison::kNotIn:
      return !contains(budget, b, a);
  }
  return false;
}

}  // namespace mica::jinja
