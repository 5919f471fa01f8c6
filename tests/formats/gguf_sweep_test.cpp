// Damaged GGUF files by the ten thousand: each is refused with a mica::Error or read to its end,
// and none makes the reader take more memory than its size calls for.
#include <doctest/doctest.h>

#include "tests/formats/gguf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/formats/import_sweep.h"

using namespace mica;
using namespace mica::testing;

namespace {

// Keys of every type, a tokenizer that adds tokens, tensors of two types.
GgufSample sample() {
  GgufSample sample = tiny_gguf({.matrix_type = kTensorF16, .tied = false});
  sample.set("tokenizer.ggml.add_bos_token", true);
  sample.set("llama.rope.scaling.factor", 2.0f);
  sample.set("general.alignment", 32u);
  sample.set("k", kGgufUint64, raw(uint64_t{1}));
  return sample;
}

// Places of the 32- and 64-bit numbers that say how much follows or where it lies.
std::vector<size_t> number_places(const std::string& header, const GgufSample& sample) {
  std::vector<size_t> places = {4, 8, 16};  // version and counts
  const auto after = [&](const std::string& name) {
    return header.find(gguf_string(name)) + 8 + name.size();
  };
  for (const GgufSample::Key& key : sample.keys) {
    places.push_back(after(key.name) - key.name.size() - 8);  // its name's length
    places.push_back(after(key.name));                        // type
    places.push_back(after(key.name) + 4);                    // value, length or element type
    if (key.type == kGgufArray) places.push_back(after(key.name) + 8);
  }
  for (const GgufSample::Tensor& tensor : sample.tensors) {
    const size_t at = after(tensor.name);
    for (size_t i = 0; i <= tensor.dims.size() + 1; ++i)
      places.push_back(at + (i ? 4 + 8 * (i - 1) : 0));
    places.push_back(at + 4 + 8 * tensor.dims.size() + 4);  // offset
  }
  return places;
}

}  // namespace

TEST_CASE("no damaged GGUF file crashes the importer or makes it take memory") {
  const GgufSample good = sample();
  const std::string bytes = good.bytes();
  const size_t header = good.header().size();
  Sweep sweep([](const std::string& damaged) { return import_gguf_bytes(damaged); });
  REQUIRE(sweep.accepts(bytes));
  sweep.truncations(bytes);
  sweep.bit_flips(bytes, 0, header);
  sweep.boundary_numbers(bytes, number_places(bytes, good));
  MESSAGE(sweep.report());
  CHECK(sweep.files() >= 70'000);
  CHECK(sweep.accepted() > 0);
  CHECK(sweep.failures().empty());
}

TEST_CASE("a GGUF file of the shortest records stays in its size class") {
  GgufSample many = tiny_gguf();
  std::vector<std::string> tokens, merges(50'000, "a b");
  for (int i = 0; i < 50'000; ++i) tokens.push_back(std::to_string(i));
  many.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings(tokens));
  many.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s(std::vector<int32_t>(50'000, 3)));
  many.set("tokenizer.ggml.merges", kGgufArray, gguf_strings(merges));
  many.tensor("token_embd.weight") = {"token_embd.weight",     {4, 50'000}, kTensorF32,
                                      std::string(800'000, 0), {},          {}};
  for (int i = 0; i < 10'000; ++i) many.keys.push_back({std::to_string(i), kGgufUint8, "x"});
  Sweep sweep([](const std::string& bytes) { return import_gguf_bytes(bytes); });
  CHECK(sweep.accepts(many.bytes()));
  MESSAGE(sweep.report());
  CHECK(sweep.failures().empty());
}
