// Compiles a Hugging Face tokenizer.json into a tokenizer image, the bytes that Tokenizer::open
// runs from. Deterministic: the same JSON gives the same bytes.
//
// Every importer speaks tokenizer.json: the GGUF importer writes the equivalent JSON value of what
// its keys describe.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "lib/base/json.h"

namespace mica {

// Throws Error(kUnsupported) naming a component that is not known here ("tokenizer.json: model type
// 'WordPiece' is not supported ..."), Error(kInvalidFile) for what cannot be right, null
// included. `name` begins the sentences.
std::vector<std::byte> build_tokenizer_image(const Json& tokenizer_json, std::string_view name);

}  // namespace mica
