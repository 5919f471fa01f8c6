// GPT-2's alphabet: each byte is spelled as one printable character ("Ġ" for a space), so that a
// vocabulary of byte strings can be written as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mica {

std::string spell_bytes(std::string_view bytes);

// The bytes that a spelling stands for, or nothing when a character is not of the alphabet.
std::optional<std::string> unspell_bytes(std::string_view spelling);

}  // namespace mica
