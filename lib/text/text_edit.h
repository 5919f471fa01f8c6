// Builds a changed copy of a text and remembers the changes, so that ranges of the text can be
// found again in the copy.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/text_span.h"

namespace mica {

class TextEdit {
 public:
  // `text` and `spans`, sorted ranges of it that are to follow, must outlive the edit.
  TextEdit(std::string_view text, std::vector<TextSpan>& spans) : text_(text), spans_(spans) {}

  // `with` takes the place of [begin, end), which lies behind all earlier ones; both may be empty.
  void replace(size_t begin, size_t end, std::string_view with);

  // The copy, or nothing when nothing was replaced. Moves the spans; an end that falls inside a
  // replaced range widens its span to the replacement's end. Once only.
  std::optional<std::string> finish();

 private:
  struct Change {
    TextSpan before, after;
  };
  size_t moved(size_t position, bool is_end) const;

  std::string_view text_;
  std::vector<TextSpan>& spans_;
  bool changed_ = false;
  std::string out_;
  size_t copied_ = 0;            // what lies before it in the text is in out_
  std::vector<Change> changes_;  // kept only where spans are to follow
};

}  // namespace mica
