// Byte-level byte pair encoding of single pieces, with a cache of the pieces seen before.
//
// One thread's working memory: make one for each call of encode. The image must outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/image_view.h"

namespace mica {

class BpeEncoder {
 public:
  explicit BpeEncoder(const ImageView& image) : image_(image) {}

  // Appends the tokens of `piece`, not empty, less than 2 GiB.
  void encode(std::string_view piece, std::vector<int32_t>& ids);

 private:
  struct Remembered {
    uint64_t hash = 0;
    uint32_t key_offset = 0, key_bytes = 0;  // in keys_; no bytes: free
    uint32_t ids_offset = 0, ids_count = 0;  // in remembered_ids_
  };
  Remembered& slot_for(uint64_t hash, std::string_view piece);
  void remember(uint64_t hash, std::string_view piece, std::span<const int32_t> ids);
  void grow();

  struct Symbol {
    uint32_t id;
    uint32_t previous, next;  // positions in symbols_
  };
  struct Candidate {
    uint64_t order;  // rank, then position
    uint32_t left, right, id;
    bool operator>(const Candidate& other) const { return order > other.order; }
  };
  void tokenize(std::string_view piece, std::vector<int32_t>& ids);
  void load_symbols(std::string_view piece);
  void merge_short();
  void merge_long();
  void add_candidate(uint32_t position, uint32_t next);

  const ImageView& image_;
  std::vector<uint32_t> word_;  // tokens of the piece in work
  std::vector<MergeResult> pairs_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> candidates_;

  std::vector<Remembered> table_;
  size_t remembered_count_ = 0;
  std::string keys_;
  std::vector<int32_t> remembered_ids_;
};

}  // namespace mica
