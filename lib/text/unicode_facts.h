// Facts about code points exactly as the libraries inside Hugging Face `tokenizers` (0.23) know
// them.
//
// Those libraries carry different Unicode versions: Oniguruma (split patterns) has 16, Rust's
// char::is_numeric (Digits) 17, its NFC 9, Punctuation 8. PCRE2 10.42 has 14 and utf8proc 2.8 has
// 15, so the differences stand here as tables. All functions are pure.
#pragma once

#include <string>
#include <string_view>

namespace mica {

bool is_white_space(char32_t point);     // the property White_Space
bool is_word_character(char32_t point);  // \w of Rust's regex
bool is_numeric(char32_t point);         // char::is_numeric of Rust
bool is_punctuation(char32_t point);     // of the pre-tokenizer Punctuation

// NFC of Unicode 9 knows neither a combining class nor a composition for this code point.
bool is_inert_in_nfc(char32_t point);

// Whether valid UTF-8 holds a code point that PCRE2 classifies otherwise than Oniguruma does.
bool has_newer_points(std::string_view text);

// The ranges that the property (a general category such as "L" or "Lu", or "Han") has gained since
// Unicode 14, as items of a PCRE2 class: "\x{897}-\x{897}...".
std::string newer_ranges(std::string_view property);

}  // namespace mica
