#include "lib/text/charsmap.h"

#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {

Charsmap::Charsmap(Bytes blob, std::string_view name) {
  const std::string what = fmt::format("{}: precompiled charsmap", name);
  ByteReader reader(blob, what);
  const uint64_t trie_bytes = reader.read<uint32_t>();
  if (trie_bytes % sizeof(uint32_t) != 0 || trie_bytes == 0) {
    throw Error(
        ErrorCode::kInvalidFile,
        fmt::format("{}: expected a trie of whole units, found {} bytes", what, trie_bytes));
  }
  trie_ = DoubleArray(reader.read_bytes(trie_bytes));
  texts_ = as_text(reader.read_bytes(reader.remaining()));
}

std::optional<Charsmap::Match> Charsmap::shortest(std::string_view text) const {
  std::optional<Match> match;
  trie_.prefixes(text, [&](size_t bytes, uint32_t value) {
    match = Match{bytes, text_at(value)};
    return false;
  });
  return match;
}

std::optional<Charsmap::Match> Charsmap::longest(std::string_view text) const {
  std::optional<Match> match;
  trie_.prefixes(text, [&](size_t bytes, uint32_t value) {
    match = Match{bytes, text_at(value)};
    return true;
  });
  return match;
}

std::string_view Charsmap::text_at(uint32_t offset) const {
  if (offset >= texts_.size()) return {};
  const std::string_view from = texts_.substr(offset);
  return from.substr(0, from.find('\0'));
}

}  // namespace mica
