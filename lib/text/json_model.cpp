// The BPE model and the added tokens of a tokenizer.json.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <unordered_map>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/byte_chars.h"
#include "lib/text/nfc.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using Vocabulary = std::unordered_map<std::string_view, uint32_t>;

template <class... Args>
[[noreturn]] void fail(ErrorCode code, std::string_view name, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw Error(code, fmt::format("{}: {}", name, fmt::format(format, std::forward<Args>(args)...)));
}

// The token for a spelling, in the image's terms.
TokenPart make_token(std::string_view spelling, uint8_t flags) {
  if (std::optional<std::string> bytes = unspell_bytes(spelling)) return {std::move(*bytes), flags};
  return {std::string(spelling), static_cast<uint8_t>(flags | image::kVerbatim)};
}

void put_token(TokenizerParts& parts, uint32_t id, TokenPart token) {
  if (id >= parts.tokens.size()) parts.tokens.resize(size_t{id} + 1);
  parts.tokens[id] = std::move(token);
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
    put_token(parts, known, make_token(spelling, image::kPresent | image::kInModel));
    ids.emplace(spelling, known);
  }
  if (ids.empty()) fail(ErrorCode::kInvalidFile, name, "the vocabulary is empty");
  return ids;
}

uint32_t look_up(const Vocabulary& ids, std::string_view spelling, std::string_view name) {
  const auto found = ids.find(spelling);
  if (found == ids.end()) {
    fail(ErrorCode::kInvalidFile, name, "a merge names token '{}', which the vocabulary lacks",
         spelling);
  }
  return found->second;
}

// Both spellings of a merge: "a b" and ["a", "b"].
std::pair<std::string_view, std::string_view> read_pair(const Json& merge, std::string_view name) {
  const std::string where = fmt::format("{}: merge", name);
  if (merge.is_string()) {
    const std::string_view text = merge.as_string(where);
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      fail(ErrorCode::kInvalidFile, name, "merge '{}' is not two tokens with a space between",
           text);
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  const Json::Array& two = merge.as_array(where);
  if (two.size() != 2)
    fail(ErrorCode::kInvalidFile, name, "a merge has {} tokens, expected 2", two.size());
  return {two[0].as_string(where), two[1].as_string(where)};
}

void read_merges(const Json& model, const Vocabulary& ids, std::string_view name,
                 TokenizerParts& parts) {
  const Json::Array& merges = model["merges"].as_array(fmt::format("{}: model merges", name));
  std::unordered_map<uint64_t, size_t> index_of;  // a pair given twice has its last rank
  index_of.reserve(merges.size());
  uint32_t rank = 0;
  for (const Json& merge : merges) {
    if (merge.is_string() && merge.as_string().starts_with("#version")) continue;
    const auto [left, right] = read_pair(merge, name);
    const image::MergeSlot slot{look_up(ids, left, name), look_up(ids, right, name), rank++,
                                look_up(ids, std::string(left).append(right), name)};
    const auto [at, is_new] =
        index_of.try_emplace(uint64_t{slot.left} << 32 | slot.right, parts.merges.size());
    if (is_new)
      parts.merges.push_back(slot);
    else
      parts.merges[at->second] = slot;
  }
}

void refuse_options(const Json& model, std::string_view name) {
  if (const Json& dropout = model["dropout"]; !dropout.is_null() && dropout.as_number() != 0) {
    fail(ErrorCode::kUnsupported, name, "the model's 'dropout' is not supported");
  }
  if (const Json& fallback = model["byte_fallback"]; !fallback.is_null() && fallback.as_bool()) {
    fail(ErrorCode::kUnsupported, name, "the model's 'byte_fallback' is not supported");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const Json& affix = model[key]; !affix.is_null() && !affix.as_string().empty()) {
      fail(ErrorCode::kUnsupported, name, "the model's '{}' is not supported", key);
    }
  }
}

bool is_set(const Json& object, const char* key, std::string_view name) {
  const Json& value = object[key];
  return !value.is_null() && value.as_bool(fmt::format("{}: {}", name, key));
}

// Added tokens as `tokenizers` numbers and merges them.
class AddedVocabulary {
 public:
  AddedVocabulary(std::string_view name, TokenizerParts& parts) : name_(name), parts_(parts) {
    for (const TokenPart& token : parts.tokens) next_id_ += (token.flags & image::kPresent) != 0;
    for (uint32_t id = 0; id < parts.tokens.size(); ++id) {
      const TokenPart& token = parts.tokens[id];
      if (!(token.flags & image::kPresent)) continue;
      ids_.emplace(token.flags & image::kVerbatim ? token.bytes : spell_bytes(token.bytes), id);
    }
  }

  void add(const Json& token) {
    const std::string where = fmt::format("{}: added token", name_);
    const std::string& content = token["content"].as_string(where + " content");
    if (content.empty()) return;
    const auto [at, is_new] = ids_.try_emplace(content, next_id_);
    if (is_new) ++next_id_;
    const uint32_t id = at->second;
    const int64_t expected = token["id"].as_integer(where + " id");
    if (id != expected) {
      fail(ErrorCode::kInvalidFile, name_,
           "added token '{}' has id {}, but in its place tokenizers gives it id {}", content,
           expected, id);
    }
    Entry& entry = entries_[id];
    entry.content = content;
    entry.normalized = is_set(token, "normalized", name_);
    entry.flags = (is_set(token, "single_word", name_) ? image::kSingleWord : 0u) |
                  (is_set(token, "lstrip", name_) ? image::kStripLeft : 0u) |
                  (is_set(token, "rstrip", name_) ? image::kStripRight : 0u);
    if (is_set(token, "special", name_)) special_.insert(content);
  }

  void finish() {
    for (const auto& [id, entry] : entries_) {
      // What is matched in the normalized text is also what decoding gives.
      std::string spelling = entry.content;
      if (entry.normalized && !parts_.normalizers.empty()) {
        std::vector<TextSpan> no_spans;
        spelling = to_nfc(spelling, no_spans).value_or(spelling);
      }
      uint8_t flags = image::kPresent | image::kAdded;
      if (id < parts_.tokens.size()) flags |= parts_.tokens[id].flags & image::kInModel;
      if (special_.contains(spelling)) flags |= image::kSpecial;
      put_token(parts_, id, make_token(spelling, flags));
      (entry.normalized ? parts_.added_normalized : parts_.added_raw)
          .push_back({std::move(spelling), id, entry.flags});
    }
    for (std::vector<AddedPart>* list : {&parts_.added_raw, &parts_.added_normalized}) {
      std::ranges::sort(*list, {}, &AddedPart::text);
      const auto twice = std::ranges::adjacent_find(*list, {}, &AddedPart::text);
      if (twice != list->end()) {
        fail(ErrorCode::kInvalidFile, name_, "added tokens {} and {} are both spelled '{}'",
             twice->id, (twice + 1)->id, twice->text);
      }
    }
  }

 private:
  struct Entry {
    std::string content;
    bool normalized = false;
    uint32_t flags = 0;
  };

  std::string_view name_;
  TokenizerParts& parts_;
  std::unordered_map<std::string, uint32_t> ids_;
  uint32_t next_id_ = 0;
  std::map<uint32_t, Entry> entries_;
  std::set<std::string> special_;
};

}  // namespace

void read_bpe_model(const Json& model, std::string_view name, TokenizerParts& parts) {
  refuse_options(model, name);
  const Vocabulary ids = read_vocabulary(model, name, parts);
  read_merges(model, ids, name, parts);
  if (is_set(model, "ignore_merges", name)) parts.model_flags |= image::kIgnoreMerges;
  if (is_set(model, "fuse_unk", name)) parts.model_flags |= image::kFuseUnknown;
  for (int byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    const auto found = ids.find(spell_bytes({&character, 1}));
    parts.byte_tokens[byte] = found == ids.end() ? image::kNone : found->second;
  }
  const Json& unknown = model["unk_token"];
  const bool complete = std::ranges::count(parts.byte_tokens, image::kNone) == 0;
  if (unknown.is_null() || complete) return;
  const std::string& spelling = unknown.as_string(fmt::format("{}: unk_token", name));
  const auto found = ids.find(spelling);
  if (found == ids.end()) {
    fail(ErrorCode::kInvalidFile, name, "unk_token '{}' is not in the vocabulary", spelling);
  }
  parts.unknown_token = found->second;
}

void read_added_tokens(const Json& added_tokens, std::string_view name, TokenizerParts& parts) {
  if (added_tokens.is_null()) return;
  AddedVocabulary vocabulary(name, parts);
  for (const Json& token : added_tokens.as_array(fmt::format("{}: added_tokens", name))) {
    vocabulary.add(token);
  }
  vocabulary.finish();
}

}  // namespace mica
