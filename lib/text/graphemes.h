// Where a text may be cut between what readers take for characters (Unicode's extended grapheme
// clusters).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mica {

// Goes over valid UTF-8 from its beginning, cluster by cluster.
class Graphemes {
 public:
  explicit Graphemes(std::string_view text) : text_(text) {}

  // The next cluster; empty at the end.
  std::string_view next();

 private:
  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace mica
