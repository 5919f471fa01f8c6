// Strings that know which of their bytes come from message contents.
//
// The mark survives copying, slicing and joining exactly; an operation that cannot follow single
// characters (a change of case, say) marks its whole result if any byte of its input is marked. It
// decides nothing inside the template language: equal strings are equal whatever their marks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/jinja_budget.h"
#include "lib/text/text_span.h"

namespace mica::jinja {

struct Text {
  std::string bytes;              // UTF-8
  std::vector<TextSpan> content;  // sorted, disjoint, none empty: bytes of message contents
  bool safe = false;              // markupsafe's Markup: joining escapes the other side

  bool tainted() const { return !content.empty(); }
};
using TextPtr = std::shared_ptr<const Text>;

// A text of `bytes`, all of it marked or none of it.
Text make_text(std::string bytes, bool tainted = false);
// Bytes [begin, end) with their marks.
Text sub_text(Budget& budget, const Text& text, size_t begin, size_t end);

// Builds a text piece by piece; every byte is paid for from the budget.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(budget) {}
  void append(std::string_view bytes, bool tainted = false);
  void append(const Text& text) { append(text, 0, text.bytes.size()); }
  void append(const Text& text, size_t begin, size_t end);
  void append_repeated(std::string_view bytes, uint64_t times);
  size_t size() const { return text_.bytes.size(); }
  Text take() { return std::move(text_); }

 private:
  void mark(size_t begin, size_t end);

  Budget& budget_;
  Text text_;
};

}  // namespace mica::jinja
