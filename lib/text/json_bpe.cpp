// The BPE model of a tokenizer.json.
//
// An importer may say more than the format does: "scores" in place of "merges". Then each pair of
// tokens that makes a token is a merge, and the token's score its rank, the greatest first; null
// means that the token is never made. So SentencePiece has it.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/byte_chars.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581
constexpr size_t kLongestScoredToken = 1024;             // each of its pairs is looked up

template <class... Args>
[[noreturn]] void fail(ErrorCode code, std::string_view name, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw Error(code, fmt::format("{}: {}", name, fmt::format(format, std::forward<Args>(args)...)));
}

Vocabulary read_vocabulary(const Json& model, std::string_view name, TokenizerParts& parts) {
  const Json::Object& members = model["vocab"].as_object(fmt::format("{}: model vocab", name));
  // Gaps between ids are allowed as long as the tables stay of the input's size.
  const uint64_t limit = std::min<uint64_t>(16 * members.size() + 65536, image::kMaxTokens / 2);
  Vocabulary ids;
  ids.reserve(members.size());
  for (const auto& [spelling, value] : members) {
    const int64_t id = value.as_integer(fmt::format("{}: id of token '{}'", name, spelling));
    if (id < 0 || static_cast<uint64_t>(id) >= limit) {
      fail(ErrorCode::kInvalidFile, name, "token '{}' of {} has id {}, expected less than {}",
           spelling, members.size(), id, limit);
    }
    const auto known = static_cast<uint32_t>(id);
    if (known < parts.tokens.size() && parts.tokens[known].flags & image::kPresent) {
      fail(ErrorCode::kInvalidFile, name, "id {} belongs to token '{}' and to another", id,
           spelling);
    }
    parts.put_token(known, parts.make_token(spelling, image::kPresent | image::kInModel));
    ids.emplace(spelling, known);
  }
  if (ids.empty()) fail(ErrorCode::kInvalidFile, name, "the vocabulary is empty");
  return ids;
}

class MergeReader {
 public:
  MergeReader(const Json& model, const Vocabulary& ids, std::string_view name,
              TokenizerParts& parts)
      : model_(model), ids_(ids), name_(name), parts_(parts) {}

  void read() {
    if (model_["scores"].is_null())
      read_merges();
    else
      read_scores();
    if (may_cut_words()) {
      parts_.splits.push_back(
          {.kind = image::ComponentKind::kBeforeRuns, .text = std::string(kSpaceMark)});
    }
  }

 private:
  uint32_t look_up(std::string_view spelling) const {
    const auto found = ids_.find(spelling);
    if (found == ids_.end()) {
      fail(ErrorCode::kInvalidFile, name_, "a merge names token '{}', which the vocabulary lacks",
           spelling);
    }
    return found->second;
  }

  // Both spellings of a merge: "a b" and ["a", "b"].
  std::pair<std::string_view, std::string_view> read_pair(const Json& merge) const {
    const std::string where = fmt::format("{}: merge", name_);
    if (merge.is_string()) {
      const std::string_view text = merge.as_string(where);
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos) {
        fail(ErrorCode::kInvalidFile, name_, "merge '{}' is not two tokens with a space between",
             text);
      }
      return {text.substr(0, space), text.substr(space + 1)};
    }
    const Json::Array& two = merge.as_array(where);
    if (two.size() != 2)
      fail(ErrorCode::kInvalidFile, name_, "a merge has {} tokens, expected 2", two.size());
    return {two[0].as_string(where), two[1].as_string(where)};
  }

  void read_merges() {
    const Json::Array& merges = model_["merges"].as_array(fmt::format("{}: model merges", name_));
    std::unordered_map<uint64_t, size_t> index_of;  // a pair given twice has its last rank
    index_of.reserve(merges.size());
    uint32_t rank = 0;
    for (const Json& merge : merges) {
      if (merge.is_string() && merge.as_string().starts_with("#version")) continue;
      const auto [left, right] = read_pair(merge);
      const image::MergeSlot slot{look_up(left), look_up(right), rank++,
                                  look_up(std::string(left).append(right))};
      note_crossing(left, right);
      const auto [at, is_new] =
          index_of.try_emplace(uint64_t{slot.left} << 32 | slot.right, parts_.merges.size());
      if (is_new)
        parts_.merges.push_back(slot);
      else
        parts_.merges[at->second] = slot;
    }
  }

  void read_scores() {
    const std::string where = fmt::format("{}: model scores", name_);
    const Json::Array& scores = model_["scores"].as_array(where);
    if (scores.size() != parts_.tokens.size()) {
      fail(ErrorCode::kInvalidFile, where, "expected one for each of {} tokens, found {}",
           parts_.tokens.size(), scores.size());
    }
    std::map<double, uint32_t, std::greater<>> ranks;
    for (const Json& score : scores) {
      if (!score.is_null()) ranks.emplace(score.as_number(where), 0);
    }
    uint32_t next_rank = 0;
    for (auto& [score, rank] : ranks) rank = next_rank++;
    for (const auto& [spelling, id] : ids_) {
      if (scores[id].is_null()) continue;
      add_pairs(spelling, id, ranks[scores[id].as_number()], scores);
    }
    std::ranges::sort(parts_.merges, {}, [](const image::MergeSlot& slot) {
      return std::tuple(slot.rank, slot.left, slot.right);
    });
  }

  void add_pairs(std::string_view token, uint32_t id, uint32_t rank, const Json::Array& scores) {
    if (token.size() > kLongestScoredToken) {
      fail(ErrorCode::kUnsupported, name_, "a token of {} bytes is not supported, at most {} are",
           token.size(), kLongestScoredToken);
    }
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if ((static_cast<uint8_t>(token[cut]) & 0xc0) == 0x80) continue;
      const auto left = ids_.find(token.substr(0, cut)), right = ids_.find(token.substr(cut));
      if (left == ids_.end() || right == ids_.end()) continue;
      if (scores[left->second].is_null() || scores[right->second].is_null()) continue;
      note_crossing(left->first, right->first);
      parts_.merges.push_back({left->second, right->second, rank, id});
    }
  }

  void note_crossing(std::string_view left, std::string_view right) {
    crosses_words_ |= right.starts_with(kSpaceMark) && !left.ends_with(kSpaceMark);
  }

  // Where no merge joins a marked space to what stands before it, a text may be cut there: the
  // tokens stay the same, and words are looked up instead of merged again. Not where a character
  // may come to nothing, which makes its neighbours ones of each other.
  bool may_cut_words() const {
    const bool keeps_all = parts_.unknown_token != image::kNone ||
                           std::ranges::count(parts_.byte_tokens, image::kNone) == 0;
    return !parts_.is_by_bytes() && !crosses_words_ && keeps_all && ids_.contains(kSpaceMark) &&
           !(parts_.model_flags & image::kIgnoreMerges);
  }

  const Json& model_;
  const Vocabulary& ids_;
  std::string_view name_;
  TokenizerParts& parts_;
  bool crosses_words_ = false;
};

bool is_set(const Json& object, const char* key, std::string_view name) {
  const Json& value = object[key];
  return !value.is_null() && value.as_bool(fmt::format("{}: {}", name, key));
}

void refuse_options(const Json& model, std::string_view name, const TokenizerParts& parts) {
  if (const Json& dropout = model["dropout"]; !dropout.is_null() && dropout.as_number() != 0) {
    fail(ErrorCode::kUnsupported, name, "the model's 'dropout' is not supported");
  }
  if (parts.is_by_bytes() && is_set(model, "byte_fallback", name)) {
    fail(ErrorCode::kUnsupported, name,
         "the model's 'byte_fallback' is not supported with the pre-tokenizer 'ByteLevel'");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const Json& affix = model[key]; !affix.is_null() && !affix.as_string().empty()) {
      fail(ErrorCode::kUnsupported, name, "the model's '{}' is not supported", key);
    }
  }
}

// The tokens of single bytes; whether text can have what is no token all the same.
bool find_alphabet(const Json& model, const Vocabulary& ids, std::string_view name,
                   TokenizerParts& parts) {
  std::ranges::fill(parts.byte_tokens, image::kNone);
  if (!parts.is_by_bytes()) {
    if (is_set(model, "byte_fallback", name)) find_byte_tokens(ids, parts);
    return true;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    const auto found = ids.find(spell_bytes({&character, 1}));
    if (found != ids.end()) parts.byte_tokens[byte] = found->second;
  }
  return std::ranges::count(parts.byte_tokens, image::kNone) > 0;
}

void read_unknown(const Json& model, const Vocabulary& ids, std::string_view name,
                  TokenizerParts& parts) {
  const Json& unknown = model["unk_token"];
  if (unknown.is_null()) return;
  const std::string& spelling = unknown.as_string(fmt::format("{}: unk_token", name));
  const auto found = ids.find(spelling);
  if (found == ids.end()) {
    fail(ErrorCode::kInvalidFile, name, "unk_token '{}' is not in the vocabulary", spelling);
  }
  parts.unknown_token = found->second;
}

}  // namespace

void read_bpe_model(const Json& model, std::string_view name, TokenizerParts& parts) {
  refuse_options(model, name, parts);
  const Vocabulary ids = read_vocabulary(model, name, parts);
  const bool has_unknown = find_alphabet(model, ids, name, parts);
  if (is_set(model, "ignore_merges", name)) parts.model_flags |= image::kIgnoreMerges;
  if (is_set(model, "fuse_unk", name)) parts.model_flags |= image::kFuseUnknown;
  if (has_unknown) read_unknown(model, ids, name, parts);
  MergeReader(model, ids, name, parts).read();
}

}  // namespace mica
