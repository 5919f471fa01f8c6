#include "lib/text/text_edit.h"

#include <algorithm>

namespace mica {

void TextEdit::replace(size_t begin, size_t end, std::string_view with) {
  out_.append(text_, copied_, begin - copied_);
  if (!spans_.empty()) changes_.push_back({{begin, end}, {out_.size(), out_.size() + with.size()}});
  out_ += with;
  copied_ = end;
  changed_ = true;
}

std::optional<std::string> TextEdit::finish() {
  if (!changed_) return std::nullopt;
  out_.append(text_, copied_);
  for (TextSpan& span : spans_) span = {moved(span.begin, false), moved(span.end, true)};
  return std::move(out_);
}

size_t TextEdit::moved(size_t position, bool is_end) const {
  const auto after = std::ranges::upper_bound(changes_, position, {},
                                              [](const Change& run) { return run.before.begin; });
  if (after == changes_.begin()) return position;
  const Change& run = *(after - 1);
  if (position == run.before.begin) return run.after.begin;
  if (position < run.before.end) return is_end ? run.after.end : run.after.begin;
  return run.after.end + (position - run.before.end);
}

}  // namespace mica
