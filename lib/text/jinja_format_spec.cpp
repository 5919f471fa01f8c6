#include "lib/text/jinja_format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>

#include "lib/base/utf8.h"
#include "lib/text/jinja_strings.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

constexpr int64_t kMaxPrecision = 500;  // of a float: more digits say nothing

std::string grouped(std::string digits, char separator, size_t group) {
  if (!separator) return digits;
  for (size_t at = digits.size(); at > group;) {
    at -= group;
    digits.insert(at, 1, separator);
  }
  return digits;
}

// Sign, prefix and digits, filled up to the width.
std::string padded_number(Budget& budget, std::string sign, std::string digits,
                          const FormatSpec& spec) {
  const char align = spec.align ? spec.align : '>';
  const auto length = static_cast<int64_t>(sign.size() + digits.size());
  const int64_t missing = std::max<int64_t>(0, spec.width - length);
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  TextBuilder out(budget);
  if (align == '=') out.append(sign);
  out.append_repeated(spec.fill, static_cast<uint64_t>(left));
  if (align != '=') out.append(sign);
  out.append(digits);
  out.append_repeated(spec.fill, static_cast<uint64_t>(missing - left));
  return out.take().bytes;
}

std::string sign_of(bool negative, const FormatSpec& spec) {
  return negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
}

std::string digits_of(uint64_t value, char type) {
  switch (type) {
    case 'b':
      return fmt::format("{:b}", value);
    case 'o':
      return fmt::format("{:o}", value);
    case 'x':
      return fmt::format("{:x}", value);
    case 'X':
      return fmt::format("{:X}", value);
    default:
      return fmt::format("{}", value);
  }
}

}  // namespace

FormatSpec parse_format_spec(std::string_view text) {
  FormatSpec spec;
  constexpr std::string_view kAligns = "<>=^";
  size_t at = 0;
  const auto peek = [&](size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto number = [&](int64_t& value) {
    const char* begin = text.data() + at;
    const auto result = std::from_chars(begin, text.data() + text.size(), value);
    if (result.ec == std::errc::result_out_of_range || value > int64_t{1} << 31) {
      fail("a width or precision of a format is too large");
    }
    at += static_cast<size_t>(result.ptr - begin);
    return result.ptr != begin;
  };
  const size_t fill_bytes = text.empty() ? 0 : character_at(text, 0).bytes;
  if (fill_bytes > 0 && peek(fill_bytes) && kAligns.find(peek(fill_bytes)) != kAligns.npos) {
    spec.fill = text.substr(0, fill_bytes);
    spec.align = peek(fill_bytes);
    at = fill_bytes + 1;
  } else if (peek(0) && kAligns.find(peek(0)) != kAligns.npos) {
    spec.align = peek(at++);
  }
  if (peek(at) == '+' || peek(at) == '-' || peek(at) == ' ') spec.sign = peek(at++);
  if (peek(at) == '#') spec.alternate = ++at > 0;
  if (peek(at) == '0') {
    if (!spec.align) spec.fill = '0';
    if (!spec.align) spec.align = '=';
    ++at;
  }
  number(spec.width);
  if (peek(at) == ',' || peek(at) == '_') spec.grouping = peek(at++);
  if (peek(at) == '.' && (++at, !number(spec.precision)))
    fail("a format lacks the precision behind '.'");
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail(fmt::format("the format '{}' is not valid", text));
  return spec;
}

Text format_text(Budget& budget, const Text& text, const FormatSpec& spec) {
  budget.charge_characters(text.bytes.size());
  if (spec.precision < 0 && spec.width <= 0) return text;
  const size_t end = spec.precision < 0
                         ? text.bytes.size()
                         : offset_of(text.bytes, static_cast<size_t>(spec.precision));
  const Text part = sub_text(budget, text, 0, end);
  const auto length = static_cast<int64_t>(count_characters(part.bytes));
  const int64_t missing = std::max<int64_t>(0, spec.width - length);
  const int64_t left = spec.align == '>' ? missing : spec.align == '^' ? missing / 2 : 0;
  TextBuilder out(budget);
  out.append_repeated(spec.fill, static_cast<uint64_t>(left));
  out.append(part);
  out.append_repeated(spec.fill, static_cast<uint64_t>(missing - left));
  return out.take();
}

std::string format_integer(Budget& budget, int64_t value, const FormatSpec& spec) {
  const bool is_float_type =
      spec.type && std::string_view("eEfFgG%").find(spec.type) != std::string::npos;
  if (is_float_type) return format_float(budget, static_cast<double>(value), spec);
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10ffff) fail("'c' needs the number of a character");
    std::string character;
    append_utf8(character, static_cast<char32_t>(value));
    return padded_number(budget, "", character, spec);
  }
  if (spec.type && std::string_view("bdoxXn").find(spec.type) == std::string::npos) {
    fail(fmt::format("an int has no format '{}'", spec.type));
  }
  const uint64_t magnitude =
      value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const bool is_decimal = !spec.type || spec.type == 'd' || spec.type == 'n';
  std::string sign = sign_of(value < 0, spec);
  if (spec.alternate && !is_decimal) sign.append({'0', spec.type});
  std::string digits = grouped(digits_of(magnitude, spec.type), spec.grouping, is_decimal ? 3 : 4);
  if (spec.grouping && spec.fill == "0" && spec.align == '=') {
    refuse("a format with both zero padding and grouping is not supported");
  }
  return padded_number(budget, std::move(sign), std::move(digits), spec);
}

std::string format_float(Budget& budget, double value, const FormatSpec& spec) {
  const char type = spec.type == '%' ? 'f' : spec.type == 'n' ? 'g' : spec.type;
  if (type && std::string_view("eEfFgG").find(type) == std::string::npos) {
    fail(fmt::format("a float has no format '{}'", type));
  }
  if (spec.precision > kMaxPrecision) {
    refuse(fmt::format("a precision above {} is not supported", kMaxPrecision));
  }
  if (!type && spec.precision >= 0)
    refuse("a precision without a type is not supported for floats");
  const double magnitude = std::fabs(spec.type == '%' ? value * 100 : value);
  std::string digits;
  if (std::isnan(value) || std::isinf(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (type && type < 'a') digits = to_upper(digits);
  } else if (!type) {
    digits = float_repr(magnitude);
  } else {
    const std::string format = fmt::format("%{}.*{}", spec.alternate ? "#" : "", type);
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    char buffer[1024];  // 309 digits, the point, kMaxPrecision digits
    const int size = std::snprintf(buffer, sizeof buffer, format.c_str(), precision, magnitude);
    digits.assign(buffer, static_cast<size_t>(size));
  }
  if (spec.grouping) {
    const size_t whole = std::min(digits.find_first_not_of("0123456789"), digits.size());
    digits = grouped(digits.substr(0, whole), spec.grouping, 3) + digits.substr(whole);
  }
  if (spec.type == '%') digits += "%";
  const bool is_negative = std::signbit(value) && !std::isnan(value);
  return padded_number(budget, sign_of(is_negative, spec), std::move(digits), spec);
}

}  // namespace mica::jinja
