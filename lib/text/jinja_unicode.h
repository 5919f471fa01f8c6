// Characters as Python's str sees them: classes, case mappings, and counting in UTF-8.
//
// All functions take UTF-8; bytes that form no character count as one character each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mica::jinja {

struct Character {
  char32_t value;
  size_t bytes;  // at least 1
};
Character character_at(std::string_view text, size_t offset);
// Start of the character that ends at `offset` (> 0).
size_t character_before(std::string_view text, size_t offset);

size_t count_characters(std::string_view text);
// Byte offset of character `index`; the size of the text when there are not so many.
size_t offset_of(std::string_view text, size_t index);
bool is_ascii(std::string_view text);

bool is_space(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit_character(char32_t c);  // str.isdigit(): decimal digits, superscripts and the like
bool is_numeric(char32_t c);          // without the ideographs that are numerals
bool is_alnum(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_printable(char32_t c);  // repr() shows it as it is
inline bool is_cased(char32_t c) {
  return is_upper(c) || is_lower(c) || is_title(c);
}

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
std::string capitalize(std::string_view text);  // first character in title case, the rest lower
std::string python_title(
    std::string_view text);  // str.title(): a word is a run of cased characters

}  // namespace mica::jinja
