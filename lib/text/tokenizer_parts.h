// What a tokenizer.json says, in the terms of the image: the stage between JSON and bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/json.h"
#include "lib/text/image_layout.h"

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
  std::string text;
};

struct TokenizerParts {
  std::vector<TokenPart> tokens;  // by id
  std::vector<image::MergeSlot> merges;
  std::vector<AddedPart> added_raw, added_normalized;
  std::vector<ComponentPart> normalizers, splits, decoders;
  std::vector<uint32_t> prefix, suffix;
  uint32_t model_flags = 0;
  uint32_t unknown_token = image::kNone;
  uint32_t byte_tokens[256];
};

// Each throws Error(kUnsupported) for what is not known here, by name, and Error(kInvalidFile) for
// what cannot be right; `name` begins the sentences.
void read_components(const Json& tokenizer, std::string_view name, TokenizerParts& parts);
void read_bpe_model(const Json& model, std::string_view name, TokenizerParts& parts);
// After the model and the normalizers.
void read_added_tokens(const Json& added_tokens, std::string_view name, TokenizerParts& parts);
// After the tokens.
void read_post_processor(const Json& processor, std::string_view name, TokenizerParts& parts);

}  // namespace mica
