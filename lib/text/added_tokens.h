// Finds added tokens ("<|im_end|>") in a text as Hugging Face `tokenizers` does: leftmost, then
// longest; spaces around a match go with it where the token says so, and a match of which an
// earlier one took everything is none.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "lib/base/function_ref.h"
#include "lib/text/image_view.h"
#include "lib/text/text_span.h"

namespace mica {

class AddedTokenMatcher {
 public:
  // `list` is kAddedRaw or kAddedNormalized. The image must outlive the matcher.
  AddedTokenMatcher(const ImageView& image, image::Section list);

  // Calls `on_text` for each part between tokens and `on_token` for each token, in order. No
  // spelling that touches a span of `plain` (sorted, disjoint) is a match, unless the token is
  // white space; the spaces that a token takes may lie in one.
  void split(std::string_view text, std::span<const TextSpan> plain,
             FunctionRef<void(TextSpan)> on_text, FunctionRef<void(uint32_t)> on_token) const;

  // The bytes of the longest token whose spelling stands at `begin`; 0 when there is none.
  size_t length_at(std::string_view text, size_t begin) const;

 private:
  struct Match {
    TextSpan span;
    AddedToken token;
  };
  std::optional<Match> find(std::string_view text, size_t from,
                            std::span<const TextSpan>& plain) const;
  std::optional<Match> longest_at(std::string_view text, size_t begin, size_t limit) const;
  bool is_match(const AddedToken& token, size_t end, size_t limit) const {
    return end <= limit || token.flags & image::kInPlainText;
  }
  bool may_begin_with(char character) const {
    const auto byte = static_cast<uint8_t>(character);
    return first_bytes_[byte >> 3] >> (byte & 7) & 1;
  }
  uint64_t partition(uint64_t low, uint64_t high, size_t depth, int least) const;

  const ImageView& image_;
  image::Section list_;
  uint64_t count_;
  std::span<const uint8_t, 32> first_bytes_;
  bool in_plain_text_;  // some token is matched in plain spans
};

}  // namespace mica
