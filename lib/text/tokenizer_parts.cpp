#include "lib/text/tokenizer_parts.h"

#include <fmt/format.h>

#include "lib/base/utf8.h"
#include "lib/text/byte_chars.h"
#include "lib/text/json_slot.h"

namespace mica {

TokenPart TokenizerParts::make_token(std::string_view spelling, uint8_t flags) const {
  std::optional<std::string> bytes = is_by_bytes() ? unspell_bytes(spelling) : std::nullopt;
  if (bytes) return {std::move(*bytes), flags};
  return {std::string(spelling), static_cast<uint8_t>(flags | image::kVerbatim)};
}

void TokenizerParts::put_token(uint32_t id, TokenPart token) {
  if (id >= tokens.size()) tokens.resize(size_t{id} + 1);
  tokens[id] = std::move(token);
}

std::string read_character(const JsonComponent& component, std::string_view key) {
  const std::string& text = component.text(key);
  if (text.empty() || static_cast<size_t>(decode_utf8(text, 0).bytes) != text.size()) {
    component.fail(fmt::format("{}: expected one character, found '{}'", key, text));
  }
  return text;
}

void find_byte_tokens(const Vocabulary& ids, TokenizerParts& parts) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(fmt::format("<0x{:02X}>", byte));
    parts.byte_tokens[byte] = found == ids.end() ? image::kNone : found->second;
  }
}

}  // namespace mica
