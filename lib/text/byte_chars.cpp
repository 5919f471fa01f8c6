#include "lib/text/byte_chars.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "lib/base/utf8.h"

namespace mica {
namespace {

// Bytes that are printable in Latin-1 stand for themselves; the other 68 are U+0100 and up, in
// order.
constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

struct Alphabet {
  std::array<char32_t, 256> of_byte{};
  std::array<int16_t, 256 + 68> to_byte{};

  constexpr Alphabet() {
    to_byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      of_byte[byte] = stands_for_itself(byte) ? byte : next++;
      to_byte[of_byte[byte]] = static_cast<int16_t>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

std::string spell_bytes(std::string_view bytes) {
  std::string spelling;
  for (const char byte : bytes)
    append_utf8(spelling, kAlphabet.of_byte[static_cast<uint8_t>(byte)]);
  return spelling;
}

std::optional<std::string> unspell_bytes(std::string_view spelling) {
  std::string bytes;
  for (size_t offset = 0; offset < spelling.size();) {
    const CodePoint point = decode_utf8(spelling, offset);
    if (point.bytes == 0 || point.value >= kAlphabet.to_byte.size()) return std::nullopt;
    const int16_t byte = kAlphabet.to_byte[point.value];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    offset += static_cast<size_t>(point.bytes);
  }
  return bytes;
}

std::optional<uint8_t> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(&token[3], &token[5], byte, 16);
  if (error != std::errc() || end != &token[5]) return std::nullopt;
  return byte;
}

}  // namespace mica
