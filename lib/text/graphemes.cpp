#include "lib/text/graphemes.h"

#include <utf8proc.h>

#include "lib/base/utf8.h"

namespace mica {
namespace {

// Characters that stand alone beside each other: all of ASCII but the line ends and controls.
bool is_plain(char byte) {
  return byte >= 0x20 && byte < 0x7f;
}

}  // namespace

std::string_view Graphemes::next() {
  const size_t begin = position_;
  if (begin == text_.size()) return {};
  if (is_plain(text_[begin]) && (begin + 1 == text_.size() || is_plain(text_[begin + 1]))) {
    ++position_;
    return text_.substr(begin, 1);
  }
  CodePoint left = decode_utf8(text_, begin);
  position_ += static_cast<size_t>(left.bytes);
  for (int32_t state = 0; position_ < text_.size();) {
    const CodePoint right = decode_utf8(text_, position_);
    if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(left.value),
                                         static_cast<utf8proc_int32_t>(right.value), &state)) {
      break;
    }
    position_ += static_cast<size_t>(right.bytes);
    left = right;
  }
  return text_.substr(begin, position_ - begin);
}

}  // namespace mica
