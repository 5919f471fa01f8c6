// Byte pair encoding of single pieces, from bytes or from characters.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/text/piece_encoder.h"

namespace mica {

class BpeEncoder final : public PieceEncoder {
 public:
  explicit BpeEncoder(const ImageView& image)
      : PieceEncoder(image), by_bytes_(image.model() == image::ModelKind::kByteLevelBpe) {
    ascii_.fill(kNotLookedUp);
  }

 private:
  struct Symbol {
    uint32_t id;
    uint32_t previous, next;  // positions in symbols_
  };
  struct Candidate {
    uint64_t order;  // rank, then position
    uint32_t left, right, id;
    bool operator>(const Candidate& other) const { return order > other.order; }
  };
  static constexpr uint32_t kNotLookedUp = image::kNone - 1;

  void tokenize(std::string_view piece, std::vector<int32_t>& ids) override;
  void load_bytes(std::string_view piece);
  void load_characters(std::string_view piece);
  uint32_t find_character(std::string_view character);
  // Flags of the model's tokens that are spelled as the text is.
  uint8_t own_tokens() const {
    return by_bytes_ ? image::kInModel : image::kInModel | image::kVerbatim;
  }
  void merge_short();
  void merge_long();
  void add_candidate(uint32_t position, uint32_t next);

  bool by_bytes_;
  std::array<uint32_t, 128> ascii_;  // tokens of single characters, as they are looked up
  std::vector<uint32_t> word_;       // tokens of the piece in work
  std::vector<MergeResult> pairs_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> candidates_;
};

}  // namespace mica
