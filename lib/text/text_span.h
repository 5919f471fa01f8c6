// A byte range [begin, end) of a text: what the chat template marks and the tokenizer respects.
#pragma once

#include <cstddef>

namespace mica {

struct TextSpan {
  size_t begin = 0;
  size_t end = 0;
  bool operator==(const TextSpan&) const = default;
};

}  // namespace mica
