// Damaged images end in an Error or in other tokens, never in a crash or outside the image; opening
// one reads nothing that grows with the vocabulary.
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/text/double_array.h"
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

// Small images with what the other models have.
Json unigram_json() {
  Json json = Json::parse(
      R"({"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [
            ["<unk>", 0], ["▁", -1.5], ["▁the", -2], ["a", -3], ["aa", -3.5], ["b", -3],
            ["aab", -4], ["e", -3], ["n", -4], ["<0xCC>", 0], ["<0x81>", 0]]},
          "normalizer": {"type": "SentencePiece", "precompiled_charsmap": ""},
          "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
          "decoder": {"type": "Sequence", "decoders": [
            {"type": "Metaspace", "replacement": "▁"}, {"type": "ByteFallback"}]}})",
      "");
  json["model"]["sentencepiece"] = true;
  json["added_tokens"] = Json::array();
  json["added_tokens"].push_back(added_token(11, "<s>"));
  json["normalizer"]["precompiled_charsmap"] =
      committed_json("t5")["normalizer"]["normalizers"].as_array()[0]["precompiled_charsmap"];
  return json;
}

Json marked_bpe_json() {
  Json json = Json::parse(
      R"({"model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": {"<unk>": 0, "▁": 1, "t": 2, "h": 3, "e": 4, "▁t": 5, "▁th": 6, "▁the": 7,
                      "a": 8, "b": 9, "aa": 10, "<0xCC>": 11, "<0x81>": 12, "n": 13},
            "merges": ["▁ t", "▁t h", "▁th e", "a a"]},
          "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            {"type": "Strip", "strip_left": true, "strip_right": true}]},
          "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}})",
      "");
  json["added_tokens"] = Json::array();
  json["added_tokens"].push_back(added_token(14, "<s>"));
  json["added_tokens"].push_back(added_token(15, "  "));
  return json;
}

std::vector<std::vector<std::byte>> small_images() {
  return {small_image(), Sample(unigram_json()).image(), Sample(marked_bpe_json()).image()};
}

}  // namespace

TEST_CASE("every truncation of an image is refused") {
  for (const std::vector<std::byte>& image : small_images()) {
    for (size_t size = 0; size < image.size(); ++size) {
      const std::vector<std::byte> cut(image.begin(),
                                       image.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK_THROWS_AS(Tokenizer::open(cut, "cut"), Error);
    }
    CHECK_NOTHROW(Tokenizer::open(image, "whole"));
  }
}

TEST_CASE("any bit of an image may be wrong") {
  for (const std::vector<std::byte>& image : small_images()) {
    std::mt19937 random(3);
    int refused = 0, tried = 0;
    for (size_t at = 0; at < image.size(); ++at) {
      // All of the header; of the tables, a bit of each byte.
      const bool in_header = at < sizeof(image::Header) + sizeof(image::Tail);
      for (int bit = in_header ? 0 : static_cast<int>(random() % 8); bit < 8;
           bit += in_header ? 1 : 8) {
        std::vector<std::byte> damaged = image;
        damaged[at] ^= std::byte{1} << bit;
        refused += !exercise_tokenizer(damaged);
        ++tried;
      }
    }
    CHECK(tried > 10000);
    CHECK(refused > 500);
  }
}

TEST_CASE("any number of an image may be a boundary value") {
  for (const std::vector<std::byte>& image : small_images()) {
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
}

TEST_CASE("an image of another version or model is not guessed at") {
  std::vector<std::byte> image = small_image();
  for (const char version : {'\2', '\3'}) {  // version 2 has a longer header
    image[8] = std::byte(version);
    CHECK(error_of([&] { Tokenizer::open(image, "m"); }).message() ==
          "m: tokenizer image version " + std::to_string(version) +
              " is not known here, expected 1 or 2");
  }
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
  for (const Json& json : {sample_json(), unigram_json(), marked_bpe_json()}) {
    CHECK(fail_each_allocation([&] { Sample sample(json); }) > 100);
  }
  for (const std::vector<std::byte>& image : small_images()) {
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
}

TEST_CASE("a charsmap whose texts are not UTF-8 ends in an error") {
  Json json = unigram_json();
  // One key, "a", that becomes the byte 0xff.
  std::vector<uint32_t> units =
      build_double_array(std::vector<std::pair<std::string_view, uint32_t>>{{"a", 0}}, "trie");
  std::string blob(4, '\0');
  const auto trie_bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::memcpy(blob.data(), &trie_bytes, sizeof(trie_bytes));
  blob.append(reinterpret_cast<const char*>(units.data()), trie_bytes).append("\xff", 2);
  for (const char* type : {"SentencePiece", "Precompiled"}) {
    json["normalizer"]["type"] = type;
    json["normalizer"]["precompiled_charsmap"] = to_base64(blob);
    const Sample sample(json);
    CHECK_NOTHROW(sample->encode("b"));
    CHECK(error_of([&] { sample->encode("ba"); }).message() ==
          "sample: a text of the charsmap is not UTF-8");
  }
}
