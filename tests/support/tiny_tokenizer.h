// A tokenizer of 259 tokens: one a byte (ids 0 .. 255, a byte's id is its value), and three special
// ones. Text of n bytes without special spellings becomes n tokens.
#pragma once

#include <cstddef>
#include <vector>

#include "lib/base/json.h"

namespace mica::testing {

constexpr int kBosId = 256;    // "<s>"
constexpr int kStartId = 257;  // "<|im_start|>"
constexpr int kEosId = 258;    // "<|im_end|>"

// As Hugging Face's tokenizer.json; `adds_bos`: a post-processor puts "<s>" in front.
Json tiny_tokenizer_json(bool adds_bos = false);
std::vector<std::byte> tiny_tokenizer_image(bool adds_bos = false);

}  // namespace mica::testing
