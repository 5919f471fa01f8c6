// Fuzzes the GGUF importer: keys, tensors, tokenizer, and the weights of what is accepted.
//
// An input that holds the text "|PART|" is a split set. corpus/gguf holds files of tiny_gguf
// (tests/formats/gguf_samples.h), one for each way through the importer.
#include <string>

#include "lib/base/error.h"
#include "tests/formats/import_exercise.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  constexpr std::string_view kSeparator = "|PART|";
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::vector<SourceFile> parts;
  for (bool more = true; more;) {
    const size_t end = rest.find(kSeparator);
    SourceFile part;
    part.name = "fuzz.gguf";
    part.bytes = as_bytes(rest.substr(0, end));
    parts.push_back(std::move(part));
    more = end != rest.npos;
    if (more) rest.remove_prefix(end + kSeparator.size());
  }
  try {
    testing::read_everything(*import_gguf(std::move(parts)));
  } catch (const Error&) {
  }
  return 0;
}
