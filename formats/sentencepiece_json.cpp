#include "formats/sentencepiece_json.h"

#include "formats/tokenizer_json.h"
#include "lib/base/base64.h"

namespace mica {
namespace {

constexpr const char* kSpaceMark = "\xe2\x96\x81";  // U+2581

// Texts become normal pieces only; the others are matched as added tokens, or not at all.
Json score_of(const Piece& piece) {
  return piece.type == PieceType::kNormal ? Json(double{piece.score}) : Json();
}

Json replace_json(const char* what, const char* with) {
  return Json::object(
      {{"type", "Replace"}, {"pattern", Json::object({{"String", what}})}, {"content", with}});
}

Json unigram_json(const SentencePieceVocabulary& vocabulary) {
  Json::Array entries;
  entries.reserve(vocabulary.pieces.size());
  for (const Piece& piece : vocabulary.pieces) {
    entries.emplace_back(Json::Array{Json(piece.text), score_of(piece)});
  }
  Json model = Json::object({{"type", "Unigram"},
                             {"unk_id", vocabulary.unknown},
                             {"byte_fallback", vocabulary.byte_fallback},
                             {"sentencepiece", true}});
  model["vocab"] = Json(std::move(entries));
  return model;
}

Json bpe_json(const SentencePieceVocabulary& vocabulary) {
  Json::Object ids;
  Json::Array scores;
  ids.reserve(vocabulary.pieces.size());
  scores.reserve(vocabulary.pieces.size());
  for (const Piece& piece : vocabulary.pieces) {
    ids.emplace_back(std::string(piece.text), uint64_t{ids.size()});
    scores.push_back(score_of(piece));
  }
  Json model = Json::object({{"type", "BPE"},
                             {"unk_token", vocabulary.pieces[vocabulary.unknown].text},
                             {"fuse_unk", true},
                             {"byte_fallback", vocabulary.byte_fallback}});
  model["vocab"] = Json(std::move(ids));
  model["scores"] = Json(std::move(scores));
  return model;
}

}  // namespace

Json sentencepiece_model_json(const SentencePieceVocabulary& vocabulary) {
  return vocabulary.is_unigram ? unigram_json(vocabulary) : bpe_json(vocabulary);
}

Json sentencepiece_added_tokens(const SentencePieceVocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const Piece& piece = vocabulary.pieces[id];
    const bool is_user_defined = piece.type == PieceType::kUserDefined;
    const bool is_special = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown;
    if ((!is_user_defined && !is_special) || piece.text.empty()) continue;
    added.push_back(added_token_json(id, piece.text,
                                     is_user_defined && vocabulary.matches_normalized, is_special));
  }
  return added;
}

Json mark_spaces_json(bool adds_space) {
  Json steps = Json::array();
  if (adds_space) steps.push_back(Json::object({{"type", "Prepend"}, {"prepend", kSpaceMark}}));
  steps.push_back(replace_json(" ", kSpaceMark));
  return Json::object({{"type", "Sequence"}, {"normalizers", std::move(steps)}});
}

Json sentencepiece_decoder(int64_t stripped_spaces) {
  Json steps = Json::array();
  steps.push_back(replace_json(kSpaceMark, " "));
  steps.push_back(Json::object({{"type", "ByteFallback"}}));
  steps.push_back(Json::object({{"type", "Fuse"}}));
  if (stripped_spaces > 0) {
    steps.push_back(Json::object(
        {{"type", "Strip"}, {"content", " "}, {"start", stripped_spaces}, {"stop", 0}}));
  }
  return Json::object({{"type", "Sequence"}, {"decoders", std::move(steps)}});
}

Json sentencepiece_normalizer(bool adds_space, bool removes_extra_spaces,
                              std::string_view charsmap) {
  return Json::object({{"type", "SentencePiece"},
                       {"add_dummy_prefix", adds_space},
                       {"remove_extra_whitespaces", removes_extra_spaces},
                       {"precompiled_charsmap", to_base64(charsmap)}});
}

}  // namespace mica
