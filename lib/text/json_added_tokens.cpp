// The added tokens of a tokenizer.json.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>
#include <unordered_map>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/byte_chars.h"
#include "lib/text/normalizer.h"
#include "lib/text/tokenizer_parts.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, std::string_view name, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw Error(code, fmt::format("{}: {}", name, fmt::format(format, std::forward<Args>(args)...)));
}

bool is_set(const Json& object, const char* key, std::string_view name) {
  const Json& value = object[key];
  return !value.is_null() && value.as_bool(fmt::format("{}: {}", name, key));
}

// White space is no one's command: a user may write it as a token.
bool is_blank(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    if (!is_white_space(point.value) && point.value != 0x2581) return false;
    at += static_cast<size_t>(point.bytes);
  }
  return true;
}

// Added tokens as `tokenizers` numbers and merges them.
class AddedVocabulary {
 public:
  AddedVocabulary(std::string_view name, TokenizerParts& parts)
      : name_(name), parts_(parts), normalizer_(name, nullptr) {
    for (const ComponentPart& part : parts.normalizers) {
      // SentencePiece looks for its tokens in the normalized text as they are.
      if (part.kind != image::ComponentKind::kSentencePiece) normalizer_.add(part.view());
    }
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
                  (is_set(token, "rstrip", name_) ? image::kStripRight : 0u) |
                  (is_blank(content) ? image::kInPlainText : 0u);
    if (is_set(token, "special", name_)) special_.insert(content);
  }

  void finish() {
    for (const auto& [id, entry] : entries_) {
      // What is matched in the normalized text is also what decoding gives.
      std::string spelling = entry.content;
      if (entry.normalized) {
        std::vector<TextSpan> no_spans;
        MatchScratch scratch(UnicodeReach::kNewer);
        spelling = normalizer_.run(spelling, scratch, no_spans).value_or(spelling);
      }
      if (spelling.empty()) continue;  // matches nothing
      uint8_t flags = image::kPresent | image::kAdded;
      const bool in_model = id < parts_.tokens.size() && parts_.tokens[id].flags & image::kInModel;
      if (in_model) flags |= image::kInModel;
      if (special_.contains(spelling)) flags |= image::kSpecial;
      // The model goes on to look for its characters as they are spelled there.
      const bool keeps = in_model && !parts_.is_by_bytes();
      parts_.put_token(id, parts_.make_token(keeps ? entry.content : spelling, flags));
      if (entry.flags & image::kInPlainText) parts_.model_flags |= image::kPlainTextTokens;
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
  Normalizer normalizer_;
  std::unordered_map<std::string, uint32_t> ids_;
  uint32_t next_id_ = 0;
  std::map<uint32_t, Entry> entries_;
  std::set<std::string> special_;
};

}  // namespace

void read_added_tokens(const Json& added_tokens, std::string_view name, TokenizerParts& parts) {
  if (added_tokens.is_null()) return;
  AddedVocabulary vocabulary(name, parts);
  for (const Json& token : added_tokens.as_array(fmt::format("{}: added_tokens", name))) {
    vocabulary.add(token);
  }
  vocabulary.finish();
}

}  // namespace mica
