#include "lib/base/utf8.h"

#include <cstring>

namespace mica {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

// What stands at one place of a text: a character, or the longest beginning of one.
struct Sequence {
  char32_t value;
  size_t bytes;  // of the character, or of the ill-formed part (at least 1)
  bool valid;
  bool may_become;  // ill-formed only because the text ends
};

// Unicode 15, table 3-7: only the second byte has a range that depends on the first.
Sequence read_sequence(std::string_view text, size_t offset) {
  const auto at = [&](size_t index) { return static_cast<uint8_t>(text[index]); };
  const uint8_t lead = at(offset);
  if (lead < 0x80) return {lead, 1, true, false};
  if (lead < 0xc2 || lead > 0xf4) return {0, 1, false, false};
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  char32_t value = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if (offset + i == text.size()) return {0, i, false, true};
    const uint8_t next = at(offset + i);
    if (next < low || next > high) return {0, i, false, false};
    value = value << 6 | (next & 0x3fu);
    low = 0x80;
    high = 0xbf;
  }
  return {value, length, true, false};
}

size_t skip_ascii(std::string_view text, size_t offset) {
  for (uint64_t word; offset + sizeof(word) <= text.size(); offset += sizeof(word)) {
    std::memcpy(&word, text.data() + offset, sizeof(word));
    if (word & 0x8080808080808080u) break;
  }
  while (offset < text.size() && static_cast<uint8_t>(text[offset]) < 0x80) ++offset;
  return offset;
}

// Appends `text` to `out` with ill-formed parts replaced, up to a last part that more bytes could
// complete; returns the offset of that part, or the size.
size_t append_repaired(std::string& out, std::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const size_t ascii_end = skip_ascii(text, offset);
    out.append(text, offset, ascii_end - offset);
    offset = ascii_end;
    if (offset == text.size()) break;
    const Sequence sequence = read_sequence(text, offset);
    if (sequence.may_become) break;
    out.append(sequence.valid ? text.substr(offset, sequence.bytes) : kReplacement);
    offset += sequence.bytes;
  }
  return offset;
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t offset = 0;
  while ((offset = skip_ascii(text, offset)) < text.size()) {
    const Sequence sequence = read_sequence(text, offset);
    if (!sequence.valid) return offset;
    offset += sequence.bytes;
  }
  return kValid;
}

CodePoint decode_utf8(std::string_view text, size_t offset) {
  if (offset >= text.size()) return {0, 0};
  const Sequence sequence = read_sequence(text, offset);
  return {sequence.value, sequence.valid ? static_cast<int>(sequence.bytes) : 0};
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  const auto put_tail = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3f)); };
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) {
    text.append(kReplacement);
  } else if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put_tail(0);
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put_tail(6);
    put_tail(0);
  } else {
    put(0xf0 | code_point >> 18);
    put_tail(12);
    put_tail(6);
    put_tail(0);
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (append_repaired(out, text) < text.size()) out.append(kReplacement);
  return out;
}

std::string Utf8Stream::push(std::string_view bytes) {
  pending_.append(bytes);
  std::string out;
  pending_.erase(0, append_repaired(out, pending_));
  return out;
}

std::string Utf8Stream::flush() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return std::string(cut ? kReplacement : "");
}

}  // namespace mica
