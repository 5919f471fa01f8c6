// A precompiled charsmap of SentencePiece: which characters (and runs of them) become which text.
//
//   u32 bytes of the trie | the trie, a double array | texts, each ended by a zero byte
//
// A key's value in the trie is the place of its text. A view over bytes that may come from a file;
// what it gives out may be no UTF-8. Safe to share by threads.
#pragma once

#include <optional>
#include <string_view>

#include "lib/base/checked.h"
#include "lib/text/double_array.h"

namespace mica {

class Charsmap {
 public:
  Charsmap() = default;  // maps nothing
  // Throws Error(kInvalidFile), which begins with `name`, when the bytes are no charsmap.
  Charsmap(Bytes blob, std::string_view name);

  struct Match {
    size_t bytes;  // of the text that it replaces
    std::string_view with;
  };
  // The entry for the shortest or the longest beginning of `text` that has one.
  std::optional<Match> shortest(std::string_view text) const;
  std::optional<Match> longest(std::string_view text) const;

 private:
  std::string_view text_at(uint32_t offset) const;

  DoubleArray trie_;
  std::string_view texts_;
};

}  // namespace mica
