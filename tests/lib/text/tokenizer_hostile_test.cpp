// Damaged images end in an Error or in other tokens, never in a crash or outside the image; opening
// one reads nothing that grows with the vocabulary.
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/text/image_layout.h"
#include "tests/lib/text/tokenizer_exercise.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"
#include "tests/support/failing_new.h"

using namespace mica;
using namespace mica::testing;

namespace {

// A small image with every kind of section in it.
std::vector<std::byte> small_image() {
  Json json = sample_json();
  json["normalizer"] = Json::object({{"type", "NFC"}});
  json["model"]["ignore_merges"] = true;
  Json token = added_token(265, "[n]");
  token["normalized"] = true;
  token["lstrip"] = true;
  json["added_tokens"].push_back(std::move(token));
  json["post_processor"] = Json::parse(
      R"({"type": "TemplateProcessing", "special_tokens": {"<s>": {"ids": [263]}},
          "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}},
                     {"SpecialToken": {"id": "<s>"}}]})",
      "");
  return Sample(json).image();
}

}  // namespace

TEST_CASE("every truncation of an image is refused") {
  const std::vector<std::byte> image = small_image();
  for (size_t size = 0; size < image.size(); ++size) {
    const std::vector<std::byte> cut(image.begin(),
                                     image.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_THROWS_AS(Tokenizer::open(cut, "cut"), Error);
  }
  CHECK_NOTHROW(Tokenizer::open(image, "whole"));
}

TEST_CASE("any bit of an image may be wrong") {
  const std::vector<std::byte> image = small_image();
  std::mt19937 random(3);
  int refused = 0, tried = 0;
  for (size_t at = 0; at < image.size(); ++at) {
    // All of the header; of the tables, a bit of each byte.
    const bool in_header = at < sizeof(image::Header);
    for (int bit = in_header ? 0 : static_cast<int>(random() % 8); bit < 8;
         bit += in_header ? 1 : 8) {
      std::vector<std::byte> damaged = image;
      damaged[at] ^= std::byte{1} << bit;
      refused += !exercise_tokenizer(damaged);
      ++tried;
    }
  }
  CHECK(tried > 15000);
  CHECK(refused > 500);
}

TEST_CASE("any number of an image may be a boundary value") {
  const std::vector<std::byte> image = small_image();
  const uint64_t values[] = {0,
                             1,
                             0x7f,
                             0x80,
                             0xff,
                             0x7fffffff,
                             0x80000000,
                             0xffffffff,
                             0x7fffffffffffffff,
                             0xffffffffffffffff,
                             image.size(),
                             image.size() - 1};
  for (size_t at = 0; at + 8 <= image.size(); at += 4) {
    for (const uint64_t value : values) {
      for (const size_t bytes : {4u, 8u}) {
        if (at > 2000 && (at % 12 != 0 || bytes == 8)) continue;
        std::vector<std::byte> damaged = image;
        std::memcpy(damaged.data() + at, &value, bytes);
        exercise_tokenizer(damaged);
      }
    }
  }
}

TEST_CASE("an image of another version or model is not guessed at") {
  std::vector<std::byte> image = small_image();
  image[8] = std::byte{2};
  CHECK(error_of([&] { Tokenizer::open(image, "m"); }).message() ==
        "m: tokenizer image version 2 is not known here, expected 1");
  image[8] = std::byte{1};
  image[24] = std::byte{9};
  CHECK(error_of([&] { Tokenizer::open(image, "m"); }).code() == ErrorCode::kUnsupported);
  image[0] = std::byte{0};
  CHECK(error_of([&] { Tokenizer::open(image, "m"); }).message() ==
        "m: expected a tokenizer image, found other bytes");
}

TEST_CASE("a table without a free slot ends a search all the same") {
  std::vector<std::byte> image = small_image();
  image::Header header;
  std::memcpy(&header, image.data(), sizeof(header));
  const auto [offset, bytes] = header.sections[static_cast<size_t>(image::Section::kMerges)];
  for (uint64_t at = offset; at < offset + bytes; at += sizeof(image::MergeSlot)) {
    const image::MergeSlot full{1, 1, 1, 1};
    std::memcpy(image.data() + at, &full, sizeof(full));
  }
  CHECK(exercise_tokenizer(image));
}

TEST_CASE("opening touches no table of the vocabulary") {
  Json json = sample_json();
  json["added_tokens"] = Json::array();
  for (int id = 263; id < 20000; ++id) json["model"]["vocab"]["t" + std::to_string(id)] = id;
  const std::vector<std::byte> image = Sample(json).image();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* memory = static_cast<std::byte*>(
      mmap(nullptr, image.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  REQUIRE(memory != MAP_FAILED);
  std::memcpy(memory, image.data(), image.size());
  image::Header header;
  std::memcpy(&header, memory, sizeof(header));
  // The tables of the vocabulary are the sections before the added tokens.
  const size_t begin = (sizeof(header) + page - 1) / page * page;
  const auto& after = header.sections[static_cast<size_t>(image::Section::kAddedRaw)];
  const size_t end = after.offset / page * page;
  REQUIRE(end - begin > 50 * page);
  REQUIRE(mprotect(memory + begin, end - begin, PROT_NONE) == 0);
  const Tokenizer tokenizer = Tokenizer::open({memory, image.size()}, "guarded");
  CHECK(tokenizer.vocabulary_size() == 20000);
  CHECK(tokenizer.encode("").empty());
  REQUIRE(mprotect(memory + begin, end - begin, PROT_READ) == 0);
  CHECK(tokenizer.encode("the").size() == 1);
  munmap(memory, image.size());
}

TEST_CASE("a tokenizer survives the failure of any allocation") {
  const Json json = sample_json();
  const std::vector<std::byte> image = small_image();
  CHECK(fail_each_allocation([&] { Sample sample(json); }) > 100);
  CHECK(fail_each_allocation([&] {
          const Tokenizer tokenizer = Tokenizer::open(image, "a long enough name for the heap");
          const auto ids =
              tokenizer.encode("the e\xcc\x81<s>[n] \xe0\xa2\x97 a longer text of words");
          DecodeStream stream(tokenizer);
          for (const TokenId id : ids) stream.push(id);
          stream.flush();
          tokenizer.find("<s>");
        }) > 20);
}
