// Running out of memory in an importer is an error and leaks nothing (the address sanitizer's build
// sees leaks).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "tests/formats/gguf_samples.h"
#include "tests/formats/hf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/failing_new.h"

using namespace mica;
using namespace mica::testing;

TEST_CASE("a GGUF file is imported or not, whichever allocation fails") {
  const std::string bytes = tiny_gguf({.matrix_type = kTensorQ8_0, .hidden_size = 32}).bytes();
  CHECK(fail_each_allocation([&] { read_everything(*import_gguf_bytes(bytes)); }) > 100);
}

TEST_CASE("a model folder is imported or not, whichever allocation fails") {
  const std::string bytes = tiny_safetensors().bytes();
  const auto texts = tiny_texts();
  CHECK(fail_each_allocation([&] { read_everything(*import_tiny(texts, bytes)); }) > 100);
}
