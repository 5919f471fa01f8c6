// printf-style and str.format() formatting, and HTML escaping.
#pragma once

#include "lib/text/jinja_value.h"

namespace mica::jinja {

// format % values: `values` is a tuple, a dict for %(name)s, or the only value.
Value format_percent(Evaluator& evaluator, const Text& format, const Value& values);
// format.format(...).
Value format_braces(Evaluator& evaluator, const Text& format, const Arguments& arguments);

// ascii(): repr() with escapes for what is not ASCII.
Text ascii_repr(Budget& budget, const Value& value);
// markupsafe.escape(): the result is safe; what is safe already stays as it is.
Text escape_html(Budget& budget, const Text& text);

}  // namespace mica::jinja
