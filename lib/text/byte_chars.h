// How vocabularies of text spell bytes: GPT-2's alphabet has one printable character for each byte
// ("Ġ" for a space), SentencePiece's byte tokens are "<0x20>".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mica {

std::string spell_bytes(std::string_view bytes);

// The bytes that a spelling stands for, or nothing when a character is not of the alphabet.
std::optional<std::string> unspell_bytes(std::string_view spelling);

// The byte of a token "<0x20>", or nothing when it is another one.
std::optional<uint8_t> byte_of_token(std::string_view token);

}  // namespace mica
