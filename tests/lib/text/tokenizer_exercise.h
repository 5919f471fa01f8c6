// Everything that can be done with a tokenizer image that may be damaged, for tests and fuzzers.
#pragma once

#include <cstdlib>
#include <string_view>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/tokenizer.h"

namespace mica::testing {

// Opens the image, encodes, decodes and looks up. False when that ended in an Error; aborts when a
// promise is broken: ids below the vocabulary, decoded text in UTF-8, streamed text equal to
// decoded.
inline bool exercise_tokenizer(Bytes image,
                               std::string_view text = "the <s>e\xcc\x81 [n]aab 12 the") {
  try {
    const Tokenizer tokenizer = Tokenizer::open(image, "image");
    const TextSpan plain{4, 7};
    for (const bool match : {true, false}) {
      const auto ids = tokenizer.encode(text, {.match_added_tokens = match});
      for (const TokenId id : ids) {
        if (id < 0 || id >= tokenizer.vocabulary_size()) std::abort();
      }
      const std::string decoded = tokenizer.decode(ids);
      if (find_invalid_utf8(decoded) != kValid) std::abort();
      DecodeStream stream(tokenizer, false);
      std::string streamed;
      for (const TokenId id : ids) streamed += stream.push(id);
      if (streamed + stream.flush() != decoded) std::abort();
    }
    if (text.size() >= plain.end) tokenizer.encode(text, {.plain_spans = {&plain, 1}});
    tokenizer.find("\xc4\xa0the");
    tokenizer.find("<s>");
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace mica::testing
