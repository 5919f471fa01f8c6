#include "lib/text/piece_encoder.h"

#include <xxhash.h>

#include "lib/text/bpe_encoder.h"
#include "lib/text/unigram_encoder.h"

namespace mica {
namespace {

// Pieces are words; longer ones are seldom seen twice.
constexpr size_t kLongestRemembered = 64;
constexpr size_t kMostRemembered = 1 << 17;
constexpr size_t kFirstTable = 256;

}  // namespace

std::unique_ptr<PieceEncoder> PieceEncoder::make(const ImageView& image) {
  if (image.model() == image::ModelKind::kUnigram) return std::make_unique<UnigramEncoder>(image);
  return std::make_unique<BpeEncoder>(image);
}

bool PieceEncoder::append_byte_tokens(std::string_view bytes, std::vector<uint32_t>& ids) const {
  const auto& byte_tokens = image_.header().byte_tokens;
  const size_t before = ids.size();
  for (const char byte : bytes) {
    const uint32_t id = byte_tokens[static_cast<uint8_t>(byte)];
    if (id == image::kNone) {
      ids.resize(before);
      return false;
    }
    ids.push_back(id);
  }
  return true;
}

void PieceEncoder::encode(std::string_view piece, std::vector<int32_t>& ids) {
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
PieceEncoder::Remembered& PieceEncoder::slot_for(uint64_t hash, std::string_view piece) {
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

void PieceEncoder::remember(uint64_t hash, std::string_view piece, std::span<const int32_t> ids) {
  if (remembered_count_ == kMostRemembered) return;
  if (++remembered_count_ > table_.size() / 2) grow();
  slot_for(hash, piece) = {
      hash, static_cast<uint32_t>(keys_.size()), static_cast<uint32_t>(piece.size()),
      static_cast<uint32_t>(remembered_ids_.size()), static_cast<uint32_t>(ids.size())};
  keys_.append(piece);
  remembered_ids_.insert(remembered_ids_.end(), ids.begin(), ids.end());
}

void PieceEncoder::grow() {
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

}  // namespace mica
