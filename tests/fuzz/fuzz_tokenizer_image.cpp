// Fuzzes the tokenizer image: open, encode, decode. The input is an image; a copy whose header has
// the right sizes is tried too, so that changes of length get past the first check.
#include <cstddef>
#include <cstring>
#include <vector>

#include "lib/text/image_layout.h"
#include "tests/lib/text/tokenizer_exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> image(bytes, bytes + size);
  mica::testing::exercise_tokenizer(image);
  mica::image::Header header;
  if (size < sizeof(header)) return 0;
  std::memcpy(&header, data, sizeof(header));
  if (header.image_bytes == size) return 0;
  header.image_bytes = size;
  std::memcpy(image.data(), &header, sizeof(header));
  mica::testing::exercise_tokenizer(image);
  return 0;
}
