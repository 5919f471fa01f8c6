#include "lib/text/added_tokens.h"

#include <algorithm>

#include "lib/base/utf8.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

// The offset of the character that ends at `end` > 0.
size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80);
  return end;
}

// Whether no character of `text`, which is UTF-8, reaches across `offset`.
bool is_boundary(std::string_view text, size_t offset) {
  return offset >= text.size() || (static_cast<uint8_t>(text[offset]) & 0xc0) != 0x80;
}

bool word_ends_at(std::string_view text, size_t end) {
  return end > 0 && is_word_character(decode_utf8(text, previous_character(text, end)).value);
}

bool word_begins_at(std::string_view text, size_t begin) {
  return begin < text.size() && is_word_character(decode_utf8(text, begin).value);
}

size_t skip_spaces_left(std::string_view text, size_t end) {
  while (end > 0) {
    const size_t before = previous_character(text, end);
    if (!is_white_space(decode_utf8(text, before).value)) break;
    end = before;
  }
  return end;
}

size_t skip_spaces_right(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const CodePoint point = decode_utf8(text, begin);
    if (point.bytes == 0 || !is_white_space(point.value)) break;
    begin += static_cast<size_t>(point.bytes);
  }
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(const ImageView& image, image::Section list)
    : image_(image),
      list_(list),
      count_(image.added_count(list)),
      first_bytes_(list == image::Section::kAddedRaw ? image.header().added_first_raw
                                                     : image.header().added_first_normalized),
      in_plain_text_((image.header().model_flags & image::kPlainTextTokens) != 0) {}

void AddedTokenMatcher::split(std::string_view text, std::span<const TextSpan> plain,
                              FunctionRef<void(TextSpan)> on_text,
                              FunctionRef<void(uint32_t)> on_token) const {
  size_t written = 0;  // text before it has been given out
  size_t from = 0;
  while (const std::optional<Match> match = find(text, from, plain)) {
    auto [begin, end] = match->span;
    from = end;
    if (match->token.flags & image::kSingleWord &&
        (word_ends_at(text, begin) || word_begins_at(text, end))) {
      continue;
    }
    // A token may take spaces that the one before it has taken already.
    if (match->token.flags & image::kStripLeft) {
      begin = std::max(skip_spaces_left(text, begin), written);
    }
    if (match->token.flags & image::kStripRight) end = skip_spaces_right(text, end);
    if (begin >= end) continue;  // nothing of it is left
    if (written < begin) on_text({written, begin});
    on_token(match->token.id);
    written = end;
  }
  if (written < text.size()) on_text({written, text.size()});
}

// Advances `plain` past the spans that end before the search.
std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::find(
    std::string_view text, size_t from, std::span<const TextSpan>& plain) const {
  if (count_ == 0) return std::nullopt;
  for (size_t position = from; position < text.size(); ++position) {
    while (!plain.empty() && plain.front().end <= position) plain = plain.subspan(1);
    if (!plain.empty() && plain.front().begin <= position && !in_plain_text_) {
      position = plain.front().end - 1;
      continue;
    }
    if (!may_begin_with(text[position])) continue;
    if (!is_boundary(text, position)) continue;  // a damaged image's token may begin with any byte
    const size_t limit = plain.empty() ? text.size() : std::min(plain.front().begin, text.size());
    if (const std::optional<Match> match = longest_at(text, position, limit)) return match;
  }
  return std::nullopt;
}

size_t AddedTokenMatcher::length_at(std::string_view text, size_t begin) const {
  if (count_ == 0 || !may_begin_with(text[begin])) return 0;
  const std::optional<Match> match = longest_at(text, begin, text.size());
  return match ? match->span.end - begin : 0;
}

// The entries are sorted: those that begin with the bytes read so far are a range that narrows.
// Behind `limit` only tokens that plain text may hold can end.
std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::longest_at(std::string_view text,
                                                                      size_t begin,
                                                                      size_t limit) const {
  std::optional<Match> best;
  uint64_t low = 0, high = count_;
  for (size_t depth = 0; low < high; ++depth) {
    const AddedToken first = image_.added(list_, low);
    if (depth > 0 && first.text.size() == depth) {
      if (is_boundary(text, begin + depth) && is_match(first, begin + depth, limit)) {
        best = Match{{begin, begin + depth}, first};
      }
      ++low;
    }
    if (begin + depth == text.size() || (begin + depth >= limit && !in_plain_text_)) break;
    const int byte = static_cast<uint8_t>(text[begin + depth]);
    low = partition(low, high, depth, byte);
    high = partition(low, high, depth, byte + 1);
  }
  return best;
}

// The first entry of [low, high) whose byte at `depth` is at least `least`.
uint64_t AddedTokenMatcher::partition(uint64_t low, uint64_t high, size_t depth, int least) const {
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const std::string_view entry = image_.added(list_, middle).text;
    const int byte = depth < entry.size() ? static_cast<uint8_t>(entry[depth]) : -1;
    if (byte < least)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace mica
