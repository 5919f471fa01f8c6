// abs, float, int, round.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <optional>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filter_lists.h"
#include "lib/text/jinja_strings.h"

namespace mica::jinja {
namespace {

// `text` without white space around it and without underscores between digits; nothing when an
// underscore stands elsewhere.
std::optional<std::string> number_text(Budget& budget, const Text& text) {
  const std::string bytes = strip_text(budget, text, nullptr, true, true).bytes;
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto is_digit = [&](size_t at) {
      return at < bytes.size() && std::isalnum(static_cast<unsigned char>(bytes[at]));
    };
    if (bytes[i] != '_') {
      out.push_back(bytes[i]);
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<double> parse_float(Budget& budget, const Text& text) {
  const std::optional<std::string> digits = number_text(budget, text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  std::string lower(rest);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = HUGE_VAL;
  } else if (lower == "nan") {
    value = std::nan("");
  } else {
    if (lower.empty() || lower.find_first_not_of("0123456789.e+-") != lower.npos)
      return std::nullopt;
    if (lower[0] == '+' || lower[0] == '-') return std::nullopt;
    const auto result = std::from_chars(lower.data(), lower.data() + lower.size(), value);
    if (result.ptr != lower.data() + lower.size() || result.ec == std::errc::invalid_argument)
      return std::nullopt;
    if (result.ec == std::errc::result_out_of_range) value = std::strtod(lower.c_str(), nullptr);
  }
  return negative ? -value : value;
}

std::optional<int64_t> parse_integer(Budget& budget, const Text& text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  const std::optional<std::string> digits = number_text(budget, text);
  if (!digits) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const char letter = rest.size() > 2 && rest[0] == '0' ? static_cast<char>(rest[1] | 0x20) : '\0';
  const int64_t prefix_base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (prefix_base != 0 && (base == prefix_base || base == 0)) {
    rest.remove_prefix(2);
    base = prefix_base;
  } else if (base == 0) {
    if (rest.size() > 1 && rest[0] == '0' && rest.find_first_not_of('0') != rest.npos)
      return std::nullopt;
    base = 10;
  }
  uint64_t value = 0;
  const auto result =
      std::from_chars(rest.data(), rest.data() + rest.size(), value, static_cast<int>(base));
  if (rest.empty() || result.ptr != rest.data() + rest.size()) return std::nullopt;
  const uint64_t limit = uint64_t{INT64_MAX} + (negative ? 1 : 0);
  if (result.ec == std::errc::result_out_of_range || value > limit) {
    refuse(fmt::format("the integer {} needs more than 64 bits", *digits));
  }
  return static_cast<int64_t>(negative ? 0 - value : value);
}

int64_t truncate(double value) {
  if (!(value >= -0x1p63 && value < 0x1p63)) refuse("an integer needs more than 64 bits");
  return static_cast<int64_t>(value);
}

Value to_int(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  const Value preset = arguments.has(1) ? arguments[1] : Value(int64_t{0});
  if (value.is(Type::kUndefined)) fail(value.undefined_message());
  if (value.is_integral()) return Value(value.as_int());
  if (value.is(Type::kFloat)) {
    if (std::isinf(value.as_float())) fail("infinity has no int");
    return std::isnan(value.as_float()) ? preset : Value(truncate(value.as_float()));
  }
  if (!value.is(Type::kString)) return preset;
  const auto integer = parse_integer(evaluator.budget, value.text(), arguments.integer(2, 10));
  if (integer) return Value(*integer);
  const std::optional<double> number = parse_float(evaluator.budget, value.text());
  if (!number || !std::isfinite(*number)) return preset;
  return Value(truncate(*number));
}

Value to_float(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  const Value preset = arguments.has(1) ? arguments[1] : Value(0.0);
  if (value.is(Type::kUndefined)) fail(value.undefined_message());
  if (value.is_number()) return Value(value.as_float());
  if (!value.is(Type::kString)) return preset;
  const std::optional<double> number = parse_float(evaluator.budget, value.text());
  return number ? Value(*number) : preset;
}

Value absolute(Evaluator&, Bound& arguments) {
  const Value& value = arguments[0];
  if (value.is(Type::kFloat)) return Value(std::fabs(value.as_float()));
  if (!value.is_integral()) fail(fmt::format("abs() needs a number, not {}", type_name(value)));
  return value.as_int() < 0 ? negate(value, true) : Value(value.as_int());
}

// To the nearest, ties to even, as Python rounds the exact binary value.
double round_float(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision < -330) return std::copysign(0.0, value);
  if (precision >= 0) {
    char buffer[1024];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), value);
    return std::strtod(buffer, nullptr);
  }
  const double unit = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / unit) * unit;
}

int64_t round_integer(int64_t value, int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return 0;
  int64_t unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  const int64_t rest = value % unit;
  const int64_t base = value - rest;
  const int64_t twice = 2 * std::abs(rest);  // unit <= 1e18
  const bool up = twice > unit || (twice == unit && (base / unit) % 2 != 0);
  int64_t result = base;
  if (up && __builtin_add_overflow(base, rest < 0 ? -unit : unit, &result)) {
    refuse("an integer needs more than 64 bits");
  }
  return result;
}

Value round(Evaluator& evaluator, Bound& arguments) {
  const Value& value = arguments[0];
  const int64_t precision = arguments.integer(1, 0);
  const std::string method = arguments.has(2) ? arguments.string(2)->bytes : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("the method of round() is common, ceil or floor");
  }
  if (!value.is_number()) fail(fmt::format("round() needs a number, not {}", type_name(value)));
  if (method == "common") {
    if (value.is_integral()) return Value(round_integer(value.as_int(), precision));
    return Value(round_float(value.as_float(), precision));
  }
  const Value ten(int64_t{10});
  const Value scale = binary(evaluator, BinaryOperator::kPower, ten, Value(precision));
  const Value scaled = binary(evaluator, BinaryOperator::kMultiply, value, scale);
  if (scaled.is_integral()) return binary(evaluator, BinaryOperator::kDivide, scaled, scale);
  const double whole =
      method == "ceil" ? std::ceil(scaled.as_float()) : std::floor(scaled.as_float());
  return binary(evaluator, BinaryOperator::kDivide, Value(truncate(whole)), scale);
}

constexpr FilterEntry kFilters[] = {
    {"abs", "x, /", absolute},
    {"float", "value, default?", to_float},
    {"int", "value, default?, base?", to_int},
    {"round", "value, precision?, method?", round},
};

}  // namespace

std::span<const FilterEntry> number_filters() {
  return kFilters;
}

}  // namespace mica::jinja
