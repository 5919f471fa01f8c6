#include "lib/text/bpe_encoder.h"

#include <algorithm>
#include <functional>

#include "lib/base/utf8.h"

namespace mica {
namespace {

// Up to this many symbols a scan for the least rank beats the heap.
constexpr size_t kShortSymbols = 32;

constexpr uint32_t kEnd = image::kNone;   // no neighbour
constexpr uint32_t kGone = image::kNone;  // merged into its left neighbour

}  // namespace

void BpeEncoder::tokenize(std::string_view piece, std::vector<int32_t>& ids) {
  if (image_.header().model_flags & image::kIgnoreMerges) {
    const uint32_t whole = image_.find(piece, image::kInModel | image::kVerbatim, own_tokens());
    if (whole != image::kNone) return ids.push_back(static_cast<int32_t>(whole));
  }
  word_.clear();
  if (by_bytes_)
    load_bytes(piece);
  else
    load_characters(piece);
  if (word_.size() <= kShortSymbols)
    merge_short();
  else
    merge_long();
  ids.insert(ids.end(), word_.begin(), word_.end());
}

void BpeEncoder::load_bytes(std::string_view piece) {
  const image::Header& header = image_.header();
  bool after_unknown = false;
  for (const char byte : piece) {
    const uint32_t id = header.byte_tokens[static_cast<uint8_t>(byte)];
    if (id != image::kNone) {
      word_.push_back(id);
      after_unknown = false;
      continue;
    }
    if (header.unknown_token == image::kNone) continue;  // as tokenizers does: the byte is dropped
    const bool fused = after_unknown && header.model_flags & image::kFuseUnknown;
    if (!fused) word_.push_back(header.unknown_token);
    after_unknown = true;
  }
}

// The unknown token of a character is put down when the next one is known or unknown too: as in
// tokenizers, byte tokens get ahead of it.
void BpeEncoder::load_characters(std::string_view piece) {
  const image::Header& header = image_.header();
  bool unknown_waits = false;
  for (size_t at = 0; at < piece.size();) {
    const auto bytes = static_cast<size_t>(std::max(1, decode_utf8(piece, at).bytes));
    const std::string_view character = piece.substr(at, bytes);
    at += bytes;
    const uint32_t id = find_character(character);
    if (id == image::kNone && append_byte_tokens(character, word_)) continue;
    if (id == image::kNone && header.unknown_token == image::kNone) continue;
    const bool fused = id == image::kNone && header.model_flags & image::kFuseUnknown;
    if (unknown_waits && !fused) word_.push_back(header.unknown_token);
    unknown_waits = id == image::kNone;
    if (!unknown_waits) word_.push_back(id);
  }
  if (unknown_waits) word_.push_back(header.unknown_token);
}

uint32_t BpeEncoder::find_character(std::string_view character) {
  const auto find = [&] { return image_.find(character, image::kInModel, image::kInModel); };
  if (character.size() > 1) return find();
  uint32_t& known = ascii_[static_cast<uint8_t>(character[0]) % ascii_.size()];
  if (known == kNotLookedUp) known = find();
  return known;
}

void BpeEncoder::merge_short() {
  if (word_.size() < 2) return;
  pairs_.clear();
  for (size_t i = 0; i + 1 < word_.size(); ++i) {
    pairs_.push_back(image_.find_merge(word_[i], word_[i + 1]));
  }
  while (!pairs_.empty()) {
    const auto least = std::ranges::min_element(pairs_, {}, &MergeResult::rank);
    if (least->rank == image::kNone) return;
    const auto at = static_cast<size_t>(least - pairs_.begin());
    word_[at] = least->id;
    word_.erase(word_.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs_.erase(least);
    if (at > 0) pairs_[at - 1] = image_.find_merge(word_[at - 1], word_[at]);
    if (at < pairs_.size()) pairs_[at] = image_.find_merge(word_[at], word_[at + 1]);
  }
}

// A linked list of symbols and a heap of pairs: n log n for a piece of n bytes. Candidates are not
// removed when one of their symbols changes; they are recognised as outdated when they come up.
void BpeEncoder::merge_long() {
  const auto count = static_cast<uint32_t>(word_.size());
  symbols_.clear();
  candidates_.clear();
  for (uint32_t i = 0; i < count; ++i) {
    symbols_.push_back({word_[i], i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1});
  }
  for (uint32_t i = 0; i + 1 < count; ++i) add_candidate(i, i + 1);
  std::ranges::make_heap(candidates_, std::greater<>());
  while (!candidates_.empty()) {
    std::ranges::pop_heap(candidates_, std::greater<>());
    const Candidate top = candidates_.back();
    candidates_.pop_back();
    const auto position = static_cast<uint32_t>(top.order);
    Symbol& symbol = symbols_[position];
    if (symbol.id != top.left || symbol.next == kEnd || symbols_[symbol.next].id != top.right)
      continue;
    Symbol& right = symbols_[symbol.next];
    symbol.id = top.id;
    symbol.next = right.next;
    right.id = kGone;
    if (symbol.next != kEnd) symbols_[symbol.next].previous = position;
    for (const uint32_t left : {symbol.previous, position}) {
      if (left == kEnd || symbols_[left].next == kEnd) continue;
      const size_t before = candidates_.size();
      add_candidate(left, symbols_[left].next);
      if (candidates_.size() > before) std::ranges::push_heap(candidates_, std::greater<>());
    }
  }
  word_.clear();
  for (uint32_t i = 0; i != kEnd; i = symbols_[i].next) word_.push_back(symbols_[i].id);
}

void BpeEncoder::add_candidate(uint32_t position, uint32_t next) {
  const uint32_t left = symbols_[position].id, right = symbols_[next].id;
  const MergeResult merge = image_.find_merge(left, right);
  if (merge.rank == image::kNone) return;
  candidates_.push_back({uint64_t{merge.rank} << 32 | position, left, right, merge.id});
}

}  // namespace mica
