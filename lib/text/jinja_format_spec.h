// One conversion of a format string, in the terms of Python's format(): what both kinds of format
// strings come down to.
#pragma once

#include <string>

#include "lib/text/jinja_value.h"

namespace mica::jinja {

struct FormatSpec {
  std::string fill = " ";  // one character
  char align = 0;          // < > ^ = or 0: as the type has it
  char sign = '-';         // + - or space
  char grouping = 0;       // , or _ or 0
  char type = 0;
  bool alternate = false;
  int64_t width = 0;
  int64_t precision = -1;  // -1: not given
};

// "[[fill]align][sign][#][0][width][grouping][.precision][type]"
FormatSpec parse_format_spec(std::string_view spec);

Text format_text(Budget& budget, const Text& text, const FormatSpec& spec);
std::string format_integer(Budget& budget, int64_t value, const FormatSpec& spec);
std::string format_float(Budget& budget, double value, const FormatSpec& spec);

}  // namespace mica::jinja
