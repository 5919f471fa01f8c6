#include "lib/text/jinja_text.h"

#include <algorithm>

namespace mica::jinja {

Text make_text(std::string bytes, bool tainted) {
  Text text{std::move(bytes), {}};
  if (tainted && !text.bytes.empty()) text.content.push_back({0, text.bytes.size()});
  return text;
}

Text sub_text(Budget& budget, const Text& text, size_t begin, size_t end) {
  TextBuilder builder(budget);
  builder.append(text, begin, end);
  Text part = builder.take();
  part.safe = text.safe;
  return part;
}

void TextBuilder::append(std::string_view bytes, bool tainted) {
  budget_.charge_text(bytes.size());
  if (bytes.size() > Budget::kMaxTextBytes - size()) budget_.charge_text(size() + bytes.size());
  if (tainted) mark(size(), size() + bytes.size());
  text_.bytes.append(bytes);
}

void TextBuilder::append(const Text& text, size_t begin, size_t end) {
  const size_t shift = size();
  append(std::string_view(text.bytes).substr(begin, end - begin));
  budget_.charge(text.content.size());
  for (const TextSpan& span : text.content) {
    const size_t from = std::max(span.begin, begin);
    const size_t to = std::min(span.end, end);
    if (from < to) mark(shift + from - begin, shift + to - begin);
  }
}

void TextBuilder::append_repeated(std::string_view bytes, uint64_t times) {
  if (bytes.empty()) return;
  if (times > Budget::kMaxTextBytes) budget_.charge_text(times);
  budget_.charge_text(times * bytes.size());
  text_.bytes.reserve(size() + times * bytes.size());
  for (uint64_t i = 0; i < times; ++i) text_.bytes.append(bytes);
}

void TextBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!text_.content.empty() && text_.content.back().end == begin) {
    text_.content.back().end = end;
  } else {
    text_.content.push_back({begin, end});
  }
}

}  // namespace mica::jinja
