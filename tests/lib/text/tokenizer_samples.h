// Small tokenizers for the tests: a few merges over all bytes, changed as a test needs it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/json.h"
#include "lib/text/tokenizer.h"

namespace mica::testing {

// All bytes (ids 0 .. 255, not in the order of the bytes), then merges that make, in this order:
// "th", "the", " t", " the", "aa", "ab", "aab". Added: "<s>" and "</s>", special.
Json sample_json();

// An image and the tokenizer that runs from it.
class Sample {
 public:
  explicit Sample(const Json& json);
  const Tokenizer* operator->() const { return &tokenizer_; }
  const Tokenizer& operator*() const { return tokenizer_; }
  const std::vector<std::byte>& image() const { return image_; }

  // Tokens as their bytes between bars: "|th|e|".
  std::string cut(std::string_view text, const EncodeOptions& options = {}) const;

 private:
  std::vector<std::byte> image_;
  Tokenizer tokenizer_;
};

// An element of "added_tokens" with all flags off.
Json added_token(int id, std::string_view content);

// The tokenizer.json of this name in tests/data/tokenizers.
Json committed_json(std::string_view name);

// The pre-tokenizer Split, then ByteLevel without a pattern.
Json split_json(std::string_view kind, std::string_view pattern, std::string_view behavior,
                bool invert = false);

}  // namespace mica::testing
