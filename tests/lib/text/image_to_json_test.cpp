// The way back: the image of the tokenizer.json that is made of an image is that image.
#include "lib/text/image_to_json.h"

#include <doctest/doctest.h>

#include "lib/text/tokenizer.h"
#include "lib/text/tokenizer_image.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

TEST_CASE("of every committed tokenizer the image comes back byte for byte") {
  for (const char* name : {"gemma", "gpt2", "llama2", "llama3", "qwen2", "smollm", "t5"}) {
    CAPTURE(name);
    const std::vector<std::byte> image = build_tokenizer_image(committed_json(name), name);
    const Json json = tokenizer_json_of_image(image, name);
    // Through text, as a file has it.
    const Json read = Json::parse(json.dump(), name);
    CHECK(build_tokenizer_image(read, name) == image);
  }
}

TEST_CASE("a damaged image is refused, never read outside") {
  const std::vector<std::byte> image = build_tokenizer_image(committed_json("llama3"), "llama3");
  for (size_t size = 0; size < image.size(); size += size < 2000 ? 7 : 997) {
    const Bytes cut = Bytes(image).first(size);
    CHECK_THROWS_AS(tokenizer_json_of_image(cut, "cut"), Error);
  }
}
