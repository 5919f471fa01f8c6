#include "formats/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>

#include "formats/invalid.h"
#include "formats/protobuf.h"
#include "formats/sentencepiece_json.h"
#include "lib/base/error.h"
#include "lib/base/utf8.h"

namespace mica {
namespace {

enum ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

// Field numbers are those of SentencePiece's sentencepiece_model.proto, and so are the defaults.
class Reader {
 public:
  Reader(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  SentencePieceModel read() {
    ProtobufReader reader(bytes_, name_);
    for (ProtobufField field; reader.next(field);) {
      if (field.number == 1) read_piece(field.bytes);
      if (field.number == 2) read_trainer(field.bytes);
      if (field.number == 3) read_normalizer(field.bytes);
      if (field.number == 5) read_denormalizer(field.bytes);
    }
    check();
    SentencePieceModel model;
    Json& json = model.tokenizer_json;
    json = Json::object({{"version", "1.0"}, {"pre_tokenizer", nullptr}});
    json["added_tokens"] = sentencepiece_added_tokens(vocabulary_);
    json["normalizer"] = sentencepiece_normalizer(adds_space_, removes_extra_spaces_, charsmap_);
    json["decoder"] = sentencepiece_decoder(removes_extra_spaces_ ? kAllSpaces : adds_space_);
    json["model"] = sentencepiece_model_json(vocabulary_);
    const auto id = [&](int64_t given) {
      return given >= 0 && given < static_cast<int64_t>(vocabulary_.pieces.size()) ? given : -1;
    };
    model.bos = id(bos_), model.eos = id(eos_), model.pad = id(pad_);
    model.unk = static_cast<int64_t>(vocabulary_.unknown);
    return model;
  }

 private:
  void read_piece(Bytes message) {
    const std::string what = piece_name(vocabulary_.pieces.size());
    Piece piece;
    ProtobufReader reader(message, what);
    for (ProtobufField field; reader.next(field);) {
      if (field.number == 1) piece.text = as_text(field.bytes);
      if (field.number == 2) piece.score = field.number_f32();
      if (field.number == 3) {
        checked_range(field.integer, static_cast<uint64_t>(PieceType::kNormal),
                      static_cast<uint64_t>(PieceType::kByte), what + ": type");
        piece.type = static_cast<PieceType>(field.integer);
      }
    }
    if (piece.text.empty()) fail_invalid(what, "expected a text, found none");
    if (find_invalid_utf8(piece.text) != kValid) {
      fail_invalid(what, "expected UTF-8, found other bytes");
    }
    if (!std::isfinite(piece.score)) {
      fail_invalid(what, fmt::format("expected a score, found {}", piece.score));
    }
    vocabulary_.pieces.push_back(piece);
  }

  void read_trainer(Bytes message) {
    ProtobufReader reader(message, name_);
    for (ProtobufField field; reader.next(field);) {
      if (field.number == 3) model_type_ = field.integer;
      if (field.number == 24) refuse_if(field, "treat_whitespace_as_suffix");
      if (field.number == 35) vocabulary_.byte_fallback = field.flag();
      if (field.number == 41) bos_ = static_cast<int64_t>(field.integer);
      if (field.number == 42) eos_ = static_cast<int64_t>(field.integer);
      if (field.number == 43) pad_ = static_cast<int64_t>(field.integer);
    }
  }

  void read_normalizer(Bytes message) {
    ProtobufReader reader(message, name_);
    for (ProtobufField field; reader.next(field);) {
      if (field.number == 2) charsmap_ = as_text(field.bytes);
      if (field.number == 3) adds_space_ = field.flag();
      if (field.number == 4) removes_extra_spaces_ = field.flag();
      if (field.number == 5 && !field.flag()) refuse("escape_whitespaces of false");
    }
  }

  // A normalizer of decoded text.
  void read_denormalizer(Bytes message) {
    ProtobufReader reader(message, name_);
    for (ProtobufField field; reader.next(field);) {
      if (field.number == 2 && !field.bytes.empty()) refuse("denormalizer_spec");
    }
  }

  void check() {
    std::vector<Piece>& pieces = vocabulary_.pieces;
    if (pieces.empty()) fail_invalid(name_, "expected pieces, found none");
    if (model_type_ == kWord) refuse("the model type WORD");
    if (model_type_ == kChar) refuse("the model type CHAR");
    checked_range(model_type_, kUnigram, kBpe, name_ + ": model type");
    vocabulary_.is_unigram = model_type_ == kUnigram;
    vocabulary_.matches_normalized = true;
    check_distinct();
    const auto unknown = std::ranges::find(pieces, PieceType::kUnknown, &Piece::type);
    if (unknown == pieces.end()) fail_invalid(name_, "expected an unknown piece, found none");
    vocabulary_.unknown = static_cast<uint64_t>(unknown - pieces.begin());
    const auto bytes = std::ranges::count(pieces, PieceType::kByte, &Piece::type);
    if (vocabulary_.byte_fallback && bytes != 256) {
      fail_invalid(name_,
                   fmt::format("expected 256 byte pieces for byte_fallback, found {}", bytes));
    }
    if (model_type_ == kBpe && std::ranges::count(pieces, PieceType::kUnused, &Piece::type) > 0) {
      refuse("a BPE model with unused pieces");
    }
  }

  void check_distinct() const {
    std::vector<std::string_view> texts;
    for (const Piece& piece : vocabulary_.pieces) texts.push_back(piece.text);
    std::ranges::sort(texts);
    const auto same = std::ranges::adjacent_find(texts);
    if (same != texts.end()) {
      fail_invalid(name_, fmt::format("expected distinct pieces, found '{}' twice", *same));
    }
  }

  std::string piece_name(size_t id) const { return fmt::format("{}: piece {}", name_, id); }

  void refuse_if(const ProtobufField& field, std::string_view what) const {
    if (field.flag()) refuse(what);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    throw Error(ErrorCode::kUnsupported, fmt::format("{}: {} is not supported", name_, what));
  }

  Bytes bytes_;
  const std::string& name_;
  SentencePieceVocabulary vocabulary_;
  uint64_t model_type_ = kUnigram;
  int64_t bos_ = 1, eos_ = 2, pad_ = -1;
  bool adds_space_ = true, removes_extra_spaces_ = true;
  std::string_view charsmap_;
};

}  // namespace

SentencePieceModel read_sentencepiece_model(Bytes bytes, const std::string& name) {
  return Reader(bytes, name).read();
}

}  // namespace mica
