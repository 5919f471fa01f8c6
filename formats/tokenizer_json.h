// Parts of a tokenizer.json, as the importers write it for tokenizers that come in other forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/json.h"

namespace mica {

Json split_json(const char* pattern);  // cuts at matches, which stay
Json byte_level_json(bool use_regex);
Json added_token_json(uint64_t id, std::string_view content, bool normalized, bool special);

struct TokenAround {
  uint64_t id;
  std::string text;
};
// The post-processor that puts tokens around a text; null when there are none.
Json template_processing_json(const std::optional<TokenAround>& before,
                              const std::optional<TokenAround>& after);

}  // namespace mica
