// The way back from a tokenizer image to a tokenizer.json, for programs that read that.
//
// Everything that decides about ids is in the image (lib/text/README.md), so the result is
// equivalent to the file that the image was built from: the image built from it is the same, byte
// for byte. Only what SentencePiece does and a tokenizer.json cannot say (ties between merges, its
// own normalizer) is written as transformers' converter writes it.
#pragma once

#include <string_view>

#include "lib/base/checked.h"
#include "lib/base/json.h"

namespace mica {

// Throws Error(kInvalidFile) for a damaged image, Error(kUnsupported) for one of a newer program;
// `name` begins the sentences.
Json tokenizer_json_of_image(Bytes image, std::string_view name);

}  // namespace mica
