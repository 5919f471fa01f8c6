// The tokenizer.json of a SentencePiece vocabulary, from a tokenizer.model or a GGUF file.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/base/json.h"

namespace mica {

enum class PieceType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct Piece {
  std::string_view text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

struct SentencePieceVocabulary {
  std::vector<Piece> pieces;
  uint64_t unknown = 0;  // the id of the unknown piece
  bool byte_fallback = false;
  bool is_unigram = false;          // otherwise BPE
  bool matches_normalized = false;  // user-defined pieces are found in the normalized text
};

// The values of "model", "added_tokens" and "decoder". The decoder leaves out as many spaces where
// the text begins.
Json sentencepiece_model_json(const SentencePieceVocabulary& vocabulary);
Json sentencepiece_added_tokens(const SentencePieceVocabulary& vocabulary);
Json sentencepiece_decoder(int64_t stripped_spaces);
constexpr int64_t kAllSpaces = INT32_MAX;

// The normalizer of the families that only mark spaces; and the one that SentencePiece is.
Json mark_spaces_json(bool adds_space);
Json sentencepiece_normalizer(bool adds_space, bool removes_extra_spaces,
                              std::string_view charsmap);

}  // namespace mica
