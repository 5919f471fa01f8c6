// What a tokenizer.json says, in the terms of the image: the stage between JSON and bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/base/json.h"
#include "lib/text/image_layout.h"
#include "lib/text/image_view.h"

namespace mica {

struct TokenPart {
  std::string bytes;
  uint8_t flags = 0;  // image::TokenFlag
};

struct AddedPart {
  std::string text;
  uint32_t id = 0;
  uint32_t flags = 0;  // image::AddedFlag
};

struct ComponentPart {
  image::ComponentKind kind;
  image::SplitBehavior behavior = image::SplitBehavior::kIsolated;
  uint32_t flags = 0;  // image::ComponentFlag
  std::string text = {};
  uint32_t pattern_bytes = 0;

  ComponentView view() const { return {kind, behavior, flags, text, pattern_bytes}; }
};

struct TokenizerParts {
  image::ModelKind model = image::ModelKind::kByteLevelBpe;
  std::vector<TokenPart> tokens;  // by id
  std::vector<image::MergeSlot> merges;
  std::vector<double> scores;  // by id, of a unigram model; NaN: never matched in a text
  double unknown_score = 0;
  std::vector<AddedPart> added_raw, added_normalized;
  std::vector<ComponentPart> normalizers, splits, decoders;
  std::vector<uint32_t> prefix, suffix;
  uint32_t model_flags = 0;
  uint32_t unknown_token = image::kNone;
  uint32_t byte_tokens[256];

  // Whether the pieces are spelled in GPT-2's alphabet, a character for each byte.
  bool is_by_bytes() const {
    return !splits.empty() && splits.back().kind == image::ComponentKind::kByteLevelSplit;
  }
  // The token for a spelling, in the image's terms.
  TokenPart make_token(std::string_view spelling, uint8_t flags) const;
  void put_token(uint32_t id, TokenPart token);
};

// Ids by spelling; the keys lie in the JSON.
using Vocabulary = std::unordered_map<std::string_view, uint32_t>;

// Each throws Error(kUnsupported) for what is not known here, by name and place, and
// Error(kInvalidFile) for what cannot be right; `name` begins the sentences. In this order:
void read_normalizers(const Json& tokenizer, std::string_view name, TokenizerParts& parts);
void read_pre_tokenizers(const Json& tokenizer, std::string_view name, TokenizerParts& parts);
void read_decoders(const Json& tokenizer, std::string_view name, TokenizerParts& parts);
void read_bpe_model(const Json& model, std::string_view name, TokenizerParts& parts);
void read_unigram_model(const Json& model, std::string_view name, TokenizerParts& parts);
void read_added_tokens(const Json& added_tokens, std::string_view name, TokenizerParts& parts);
void read_post_processor(const Json& tokenizer, std::string_view name, TokenizerParts& parts);

// The one character that a component's member is; and the tokens "<0x00>" to "<0xFF>", those that
// there are.
class JsonComponent;
std::string read_character(const JsonComponent& component, std::string_view key);
void find_byte_tokens(const Vocabulary& ids, TokenizerParts& parts);

}  // namespace mica
