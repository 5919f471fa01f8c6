// The safetensors container: what it holds, what it is refused for, and damaged files by the ten
// thousand.
#include "formats/safetensors.h"

#include <doctest/doctest.h>

#include "tests/formats/hf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/formats/import_sweep.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

std::vector<SafeTensor> parse(const std::string& bytes) {
  return parse_safetensors(as_bytes(bytes), "x.safetensors");
}

std::string refusal(const std::string& bytes) {
  return error_of([&] { parse(bytes); }).message();
}

}  // namespace

TEST_CASE("tensors of a safetensors file are found in the order of the file") {
  const std::string bytes = safetensors_bytes(
      R"({"b":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
      "aaaabbbb");
  const std::vector<SafeTensor> tensors = parse(bytes);
  REQUIRE(tensors.size() == 2);
  CHECK(tensors[0].name == "a");
  CHECK(tensors[0].dims.empty());
  CHECK(as_text(tensors[0].data) == "aaaa");
  CHECK(tensors[1].type == "F16");
  CHECK(tensors[1].dims == std::vector<int64_t>{2, 1});
  CHECK(as_text(tensors[1].data) == "bbbb");
}

TEST_CASE("tensors without elements lie where they are said to") {
  const std::string bytes =
      safetensors_bytes(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                        R"("b":{"dtype":"F32","shape":[0,5],"data_offsets":[4,4]}})",
                        "aaaa");
  CHECK(parse(bytes).size() == 2);
}

TEST_CASE("safetensors files that break the format are refused with a sentence") {
  struct BadFile {
    const char* reason;
    std::string bytes;
    const char* sentence;  // after "x.safetensors: "
  };
  const auto one = [](const std::string& record, const std::string& data = "aaaa") {
    return safetensors_bytes("{\"a\":" + record + "}", data);
  };
  const std::string good = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const BadFile files[] = {
      {"empty", "", "expected 8 bytes at offset 0, found only 0 bytes in all"},
      {"a header longer than the file", std::string("\x64\0\0\0\0\0\0\0{}", 10),
       "length of the header: expected 2, found 100"},
      {"a header of more than 100 MB", std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
       "length of the header: expected 2, found 18446744073709551615"},
      {"a header of no bytes", std::string("\0\0\0\0\0\0\0\0{}", 10),
       "length of the header: expected 2, found 0"},
      {"a header that is no object", safetensors_bytes("[]", ""),
       "header: expected object, found array"},
      {"a tensor twice", safetensors_bytes("{\"a\":" + good + ",\"a\":" + good + "}", "aaaa"),
       "invalid JSON at byte 107: expected distinct keys in the object that ends here, found \"a\" "
       "twice"},
      {"metadata that is no text", safetensors_bytes(R"({"__metadata__":{"a":1}})", ""),
       "__metadata__: expected string, found integer"},
      {"a record that is no object", one("7"), "tensor 'a': expected object, found integer"},
      {"no type", one(R"({"shape":[1],"data_offsets":[0,4]})"),
       "tensor 'a': dtype: expected string, found null"},
      {"a type that is not known", one(R"({"dtype":"F4","shape":[1],"data_offsets":[0,4]})"),
       "tensor 'a': type 'F4' is not supported; expected F32, F16 or BF16"},
      {"no shape", one(R"({"dtype":"F32","data_offsets":[0,4]})"),
       "tensor 'a': shape: expected array, found null"},
      {"a negative dimension", one(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})"),
       "tensor 'a': shape: expected a whole number that is not negative, found -1"},
      {"a fraction of a dimension", one(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,4]})"),
       "tensor 'a': shape: expected integer, found number"},
      {"a dimension written as a float",
       one(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"),
       "tensor 'a': shape: expected a whole number that is not negative, found 1.0"},
      {"a shape that overflows",
       one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})"),
       "tensor 'a': size: expected a number in range, found one that overflows"},
      {"one offset", one(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"),
       "tensor 'a': data_offsets: expected two numbers, found 1"},
      {"offsets in the wrong order", one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})"),
       "tensor 'a': expected 4 bytes by dtype and shape, found data_offsets [4, 0]"},
      {"a size that disagrees", one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
       "tensor 'a': expected 8 bytes by dtype and shape, found data_offsets [0, 4]"},
      {"a tensor behind the end", one(good, "aa"),
       "tensor 'a': data_offsets: expected 4 bytes at offset 0, found only 2 bytes in all"},
      {"a hole at the start",
       one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", "aaaabbbb"),
       "tensor 'a': expected to begin at byte 0, where the tensor before it ends, found 4"},
      {"bytes behind the last tensor", one(good, "aaaab"),
       "expected 4 bytes of tensors, found 5 bytes"},
      {"tensors that overlap", safetensors_bytes("{\"a\":" + good + ",\"b\":" + good + "}", "aaaa"),
       "tensor 'b': expected to begin at byte 4, where the tensor before it ends, found 0"},
  };
  for (const BadFile& bad : files) {
    const std::string reason = bad.reason;
    CAPTURE(reason);
    CHECK(refusal(bad.bytes) == std::string("x.safetensors: ") + bad.sentence);
  }
}

TEST_CASE("no damaged safetensors file crashes the importer or makes it take memory") {
  const SafetensorsSample good = tiny_safetensors({.type = "F16"});
  const std::string bytes = good.bytes();
  const size_t first = 8, last = 8 + good.header().size();
  const std::map<std::string, std::string> texts = tiny_texts();
  Sweep sweep([&](const std::string& damaged) { return import_tiny(texts, damaged); });
  REQUIRE(sweep.accepts(bytes));
  sweep.truncations(bytes);
  sweep.bit_flips(bytes, 0, last);
  sweep.boundary_numbers(bytes, {0});
  sweep.characters(bytes, first, last, "{}[]\",:0129-.eE\\ nt\x80\xff");
  sweep.boundary_texts(bytes, first, last);
  MESSAGE(sweep.report());
  CHECK(sweep.files() >= 70'000);
  CHECK(sweep.accepted() > 0);
  CHECK(sweep.failures().empty());
}

TEST_CASE("a safetensors file of the shortest records stays in its size class") {
  const std::map<std::string, std::string> texts = tiny_texts();
  Sweep sweep([&](const std::string& bytes) { return import_tiny(texts, bytes); });
  std::string arrays = "[", objects = "{";
  for (int i = 0; i < 100'000; ++i) arrays += "[],";
  for (int i = 0; i < 50'000; ++i) objects.append("\"").append(std::to_string(i)).append("\":1,");
  sweep.accepts(safetensors_bytes(arrays + "1]", ""));
  sweep.accepts(safetensors_bytes(objects + "\"a\":1}", ""));
  MESSAGE(sweep.report());
  CHECK(sweep.failures().empty());
}
