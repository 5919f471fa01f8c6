// The tokenizer of a GGUF file, as the tokenizer.json of the same tokenizer would have it.
#pragma once

#include "formats/gguf_file.h"
#include "lib/base/json.h"

namespace mica {

struct GgufTokenizer {
  Json tokenizer_json;  // null when the file has no tokenizer
  Json special_tokens;  // {"bos": id, "eos": [ids], "pad": id, "unk": id}
  uint64_t tokens = 0;
  std::vector<std::string> notes;
};

// Throws Error(kUnsupported) for kinds of tokenizers and pre-tokenizers that are not known here.
GgufTokenizer read_gguf_tokenizer(const GgufFile& file);

}  // namespace mica
