// Operations on strings that methods and filters share. All keep the marks of the bytes they take
// over.
#pragma once

#include "lib/text/jinja_value.h"

namespace mica::jinja {

enum class Align { kLeft, kRight, kCenter };

// Without `chars`: white space.
Text strip_text(Budget& budget, const Text& text, const std::string* chars, bool left, bool right);
// Negative `limit`: all occurrences.
Text replace_text(Budget& budget, const Text& text, const Text& old_part, const Text& new_part,
                  int64_t limit);
// Without a separator: at runs of white space. Negative `limit`: everywhere.
Values split_text(Budget& budget, const Text& text, const Text* separator, int64_t limit);
Values rsplit_text(Budget& budget, const Text& text, const Text* separator, int64_t limit);
Values split_lines(Budget& budget, const Text& text, bool keep_ends);
// Up to `width` characters with `fill`; kLeft: the text stands left.
Text pad_text(Budget& budget, const Text& text, int64_t width, Align align, std::string_view fill);

bool is_upper_string(std::string_view text);
bool is_lower_string(std::string_view text);

}  // namespace mica::jinja
