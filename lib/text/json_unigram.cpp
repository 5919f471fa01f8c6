// The unigram model of a tokenizer.json.
//
// An importer may say more than the format does: "sentencepiece": true (sums as SentencePiece has
// them), and null for the score of a token that is never matched in a text.
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

constexpr float kUnknownPenalty = 10;  // below the least score, in both libraries

[[noreturn]] void fail(std::string_view name, std::string_view what) {
  throw Error(ErrorCode::kInvalidFile, fmt::format("{}: {}", name, what));
}

bool is_set(const Json& model, std::string_view key, std::string_view name) {
  const Json& value = model[key];
  return !value.is_null() && value.as_bool(fmt::format("{}: model {}", name, key));
}

Vocabulary read_pieces(const Json& model, std::string_view name, TokenizerParts& parts) {
  const std::string what = fmt::format("{}: model vocab", name);
  Vocabulary ids;
  for (const Json& entry : model["vocab"].as_array(what)) {
    const Json::Array& pair = entry.as_array(what);
    if (pair.size() != 2) fail(what, fmt::format("an entry has {} parts, not 2", pair.size()));
    const std::string& piece = pair[0].as_string(what);
    const auto id = checked_cast<uint32_t>(parts.tokens.size(), what);
    if (piece.empty()) fail(what, fmt::format("token {} is empty", id));
    if (!ids.emplace(piece, id).second) {
      fail(what, fmt::format("token '{}' is there twice, the second time with id {}", piece, id));
    }
    const double score =
        pair[1].is_null() ? std::numeric_limits<double>::quiet_NaN() : pair[1].as_number(what);
    parts.scores.push_back(score);
    parts.put_token(id, parts.make_token(piece, image::kPresent | image::kInModel));
  }
  if (ids.empty()) fail(name, "the vocabulary is empty");
  return ids;
}

}  // namespace

void read_unigram_model(const Json& model, std::string_view name, TokenizerParts& parts) {
  const Vocabulary ids = read_pieces(model, name, parts);
  const Json& unknown = model["unk_id"];
  if (unknown.is_null()) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: a unigram model without 'unk_id' is not supported", name));
  }
  const std::string what = fmt::format("{}: model unk_id", name);
  const auto id = checked_cast<uint64_t>(unknown.as_integer(what), what);
  parts.unknown_token = static_cast<uint32_t>(checked_range(id, 0, parts.tokens.size() - 1, what));
  double least = std::numeric_limits<double>::infinity();
  for (const double score : parts.scores) least = std::fmin(least, score);
  parts.unknown_score = least - double{kUnknownPenalty};
  if (is_set(model, "sentencepiece", name)) {
    parts.model_flags |= image::kSentencePieceSums;
    parts.unknown_score = static_cast<float>(least) - kUnknownPenalty;
  }
  std::ranges::fill(parts.byte_tokens, image::kNone);
  if (is_set(model, "byte_fallback", name)) find_byte_tokens(ids, parts);
}

}  // namespace mica
