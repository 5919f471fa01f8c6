// A SentencePiece model (tokenizer.model), as the tokenizer.json of the same tokenizer would have
// it, with what lib/text reads beyond that format: a normalizer "SentencePiece", scores in place of
// merges, null for the score of a token that no text becomes by itself.
#pragma once

#include <string>
#include <vector>

#include "lib/base/checked.h"
#include "lib/base/json.h"

namespace mica {

struct SentencePieceModel {
  Json
      tokenizer_json;  // without a post-processor: the model does not say what stands around a text
  int64_t bos = -1, eos = -1, unk = -1, pad = -1;  // -1: the model has none
};

// `name` begins the sentences of errors. Throws Error(kInvalidFile), or Error(kUnsupported) naming
// what is not known here.
SentencePieceModel read_sentencepiece_model(Bytes bytes, const std::string& name);

}  // namespace mica
