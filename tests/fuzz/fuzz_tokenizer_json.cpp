// Fuzzes the compiler from tokenizer.json to image, and the image it makes. The input is the JSON,
// a zero byte, and a text to encode.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/text/tokenizer_image.h"
#include "tests/lib/text/tokenizer_exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  try {
    const mica::Json json = mica::Json::parse(input.substr(0, end), "tokenizer.json");
    const auto image = mica::build_tokenizer_image(json, "tokenizer.json");
    mica::testing::exercise_tokenizer(image);
    if (end != input.npos) mica::testing::exercise_tokenizer(image, input.substr(end + 1));
  } catch (const mica::Error&) {
  }
  return 0;
}
