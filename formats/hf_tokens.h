// What a Hugging Face model folder says about its tokens, beside the weights: special tokens,
// defaults of generation, chat template.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/json.h"

namespace mica {

struct HfTokens {
  Json tokenizer_json;  // from tokenizer.json, or else tokenizer.model; null without either
  Json special_tokens;  // {"bos": id, "eos": [ids], "pad": id, "unk": id}
  Json generation;
  std::string chat_template;
  std::string chat_template_source;
};

// `texts` holds the folder's text files by name, those that exist; `config` is config.json parsed;
// `folder` begins the error sentences. Adds to `notes` what is set but not used.
HfTokens read_hf_tokens(const std::map<std::string, std::string>& texts, const Json& config,
                        int64_t vocabulary_size, const std::string& folder,
                        std::vector<std::string>& notes);

}  // namespace mica
