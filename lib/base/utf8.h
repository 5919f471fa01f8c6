// UTF-8: validation, decoding, encoding, and a buffer that never lets half a character out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mica {

constexpr size_t kValid = static_cast<size_t>(-1);

// Offset of the first byte that is not well-formed UTF-8 (Unicode 15, table 3-7), or kValid.
size_t find_invalid_utf8(std::string_view text);

struct CodePoint {
  char32_t value;
  int bytes;  // 1..4; 0 when the text at this place is not well-formed
};
CodePoint decode_utf8(std::string_view text, size_t offset);
void append_utf8(std::string& text, char32_t code_point);

// Every maximal ill-formed part replaced by U+FFFD, as the WHATWG encoding standard has it.
std::string replace_invalid_utf8(std::string_view text);

// Takes bytes in any pieces, gives out only complete characters; what can no longer become one is
// given out as U+FFFD. flush() gives out what is left.
class Utf8Stream {
 public:
  std::string push(std::string_view bytes);
  std::string flush();

 private:
  std::string pending_;
};

}  // namespace mica
