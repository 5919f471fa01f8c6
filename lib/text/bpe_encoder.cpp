#include "lib/text/bpe_encoder.h"

#include <algorithm>
#include <functional>
#include <xxhash.h>

namespace mica {
namespace {

// Up to this many symbols a scan for the least rank beats the heap.
constexpr size_t kShortSymbols = 32;
// Pieces are words; longer ones are seldom seen twice.
constexpr size_t kLongestRemembered = 64;
constexpr size_t kMostRemembered = 1 << 17;
constexpr size_t kFirstTable = 256;

constexpr uint32_t kEnd = image::kNone;   // no neighbour
constexpr uint32_t kGone = image::kNone;  // merged into its left neighbour

}  // namespace

void BpeEncoder::encode(std::string_view piece, std::vector<int32_t>& ids) {
  if (piece.size() > kLongestRemembered) return tokenize(piece, ids);
  if (table_.empty()) table_.resize(kFirstTable);
  const uint64_t hash = XXH3_64bits(piece.data(), piece.size());
  const Remembered& known = slot_for(hash, piece);
  if (known.key_bytes > 0) {
    const auto first = remembered_ids_.begin() + known.ids_offset;
    ids.insert(ids.end(), first, first + known.ids_count);
    return;
  }
  const size_t before = ids.size();
  tokenize(piece, ids);
  remember(hash, piece, std::span(ids).subspan(before));
}

// The slot that holds the piece, or the free one where it belongs. At least half of the table is
// free.
BpeEncoder::Remembered& BpeEncoder::slot_for(uint64_t hash, std::string_view piece) {
  const size_t mask = table_.size() - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    Remembered& entry = table_[slot];
    if (entry.key_bytes == 0) return entry;
    if (entry.hash == hash &&
        std::string_view(keys_).substr(entry.key_offset, entry.key_bytes) == piece) {
      return entry;
    }
  }
}

void BpeEncoder::remember(uint64_t hash, std::string_view piece, std::span<const int32_t> ids) {
  if (remembered_count_ == kMostRemembered) return;
  if (++remembered_count_ > table_.size() / 2) grow();
  slot_for(hash, piece) = {
      hash, static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(piece.size()),
      static_cast<uint32_t>(remembered_ids_.size()), static_cast<uint32_t>(ids.size())};
  keys_.append(piece);
  remembered_ids_.insert(remembered_ids_.end(), ids.begin(), ids.end());
}

void BpeEncoder::grow() {
  std::vector<Remembered> old(table_.size() * 4);
  old.swap(table_);
  const size_t mask = table_.size() - 1;
  for (const Remembered& entry : old) {
    if (entry.key_bytes == 0) continue;
    size_t slot = entry.hash & mask;
    while (table_[slot].key_bytes > 0) slot = (slot + 1) & mask;
    table_[slot] = entry;
  }
}

void BpeEncoder::tokenize(std::string_view piece, std::vector<int32_t>& ids) {
  if (image_.header().model_flags & image::kIgnoreMerges) {
    const uint32_t whole = image_.find(piece, image::kInModel | image::kVerbatim, image::kInModel);
    if (whole != image::kNone) return ids.push_back(static_cast<int32_t>(whole));
  }
  load_symbols(piece);
  if (word_.size() <= kShortSymbols)
    merge_short();
  else
    merge_long();
  ids.insert(ids.end(), word_.begin(), word_.end());
}

void BpeEncoder::load_symbols(std::string_view piece) {
  const image::Header& header = image_.header();
  word_.clear();
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
