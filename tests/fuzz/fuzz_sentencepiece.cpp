// Fuzzes the reader of tokenizer.model, the compiler of what it says, and the image that becomes of
// it. corpus/sentencepiece holds models of tests/formats/sentencepiece_samples.h and trained ones,
// cut to their first pieces.
#include "formats/sentencepiece.h"
#include "lib/text/tokenizer_image.h"
#include "tests/lib/text/tokenizer_exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const mica::Bytes input(reinterpret_cast<const std::byte*>(data), size);
  try {
    const auto model = mica::read_sentencepiece_model(input, "tokenizer.model");
    mica::testing::exercise_tokenizer(
        mica::build_tokenizer_image(model.tokenizer_json, "tokenizer.model"));
  } catch (const mica::Error&) {
  }
  return 0;
}
