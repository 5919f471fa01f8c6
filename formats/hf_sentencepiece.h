// The tokenizer of a model folder that has tokenizer.model and no tokenizer.json.
#pragma once

#include <map>
#include <string>

#include "lib/base/json.h"

namespace mica {

// `texts` holds the folder's files by name, tokenizer.model among them, `tokenizer_config` is
// tokenizer_config.json parsed, or null. What stands around a text and which tokens are added to
// the model's is read there; `folder` begins the sentences of errors. Throws Error(kUnsupported)
// for tokenizer classes that number the model's pieces anew.
Json read_hf_sentencepiece(const std::map<std::string, std::string>& texts,
                           const Json& tokenizer_config, const std::string& folder);

}  // namespace mica
