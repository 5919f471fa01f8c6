// The trie of a vocabulary, and charsmaps, which have the same one.
#include "lib/text/double_array.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <random>
#include <string>

#include "lib/text/charsmap.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

using Keys = std::map<std::string, uint32_t>;

std::vector<uint32_t> build(const Keys& keys) {
  const std::vector<std::pair<std::string_view, uint32_t>> sorted(keys.begin(), keys.end());
  return build_double_array(sorted, "trie");
}

// Every prefix of `text` that is a key, looked up one by one.
std::vector<std::pair<size_t, uint32_t>> by_definition(const Keys& keys, const std::string& text) {
  std::vector<std::pair<size_t, uint32_t>> found;
  for (size_t bytes = 1; bytes <= text.size(); ++bytes) {
    if (const auto key = keys.find(text.substr(0, bytes)); key != keys.end()) {
      found.emplace_back(bytes, key->second);
    }
  }
  return found;
}

std::vector<std::pair<size_t, uint32_t>> by_trie(const std::vector<uint32_t>& units,
                                                 const std::string& text) {
  std::vector<std::pair<size_t, uint32_t>> found;
  DoubleArray(std::as_bytes(std::span(units))).prefixes(text, [&](size_t bytes, uint32_t value) {
    found.emplace_back(bytes, value);
    return true;
  });
  return found;
}

std::string random_text(std::mt19937& random, size_t most, int alphabet) {
  std::string text(1 + random() % most, '\0');
  for (char& byte : text) byte = static_cast<char>(1 + random() % alphabet);
  return text;
}

}  // namespace

TEST_CASE("a trie finds the keys that a text begins with, and nothing else") {
  std::mt19937 random(1);
  for (const int alphabet : {2, 7, 255}) {
    for (const size_t count : {0u, 1u, 2u, 40u, 3000u}) {
      Keys keys;
      while (keys.size() < count) {
        keys[random_text(random, alphabet == 2 ? 16 : 6, alphabet)] =
            static_cast<uint32_t>(random() & 0x7fffffff);
      }
      const std::vector<uint32_t> units = build(keys);
      for (const auto& [key, value] : keys) {
        CHECK(by_trie(units, key) == by_definition(keys, key));
        CHECK(by_trie(units, key).back() == std::pair(key.size(), value));
      }
      for (int i = 0; i < 500; ++i) {
        const std::string text = random_text(random, 20, alphabet) + '\0';
        CHECK(by_trie(units, text) == by_definition(keys, text));
      }
    }
  }
}

// Offsets above 2^21 are kept in steps of 256.
TEST_CASE("a trie of millions of units is right too") {
  Keys keys;
  std::mt19937 random(2);
  while (keys.size() < 400'000) {
    keys[random_text(random, 12, 255)] = static_cast<uint32_t>(keys.size());
  }
  const std::vector<uint32_t> units = build(keys);
  CHECK(units.size() > 1u << 21);
  for (const auto& [key, value] : keys) {
    const auto found = by_trie(units, key);
    CHECK_UNARY(!found.empty() && found.back() == std::pair(key.size(), value));
  }
}

TEST_CASE("units of any content are walked inside their bounds") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint32_t> units(random() % 300);
    for (uint32_t& unit : units) unit = static_cast<uint32_t>(random());
    by_trie(units, random_text(random, 40, 255));
  }
}

TEST_CASE("a charsmap gives the text for the shortest and the longest match") {
  const std::vector<uint32_t> units = build({{"a", 0}, {"ab", 2}, {"abc", 3}, {"x", 99}});
  const auto trie_bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::string blob(reinterpret_cast<const char*>(&trie_bytes), sizeof(trie_bytes));
  blob.append(reinterpret_cast<const char*>(units.data()), trie_bytes);
  blob.append("A\0\0long", 7);  // the last text has no zero byte behind it
  const Charsmap map(as_bytes(blob), "map");
  CHECK(map.shortest("abcd")->bytes == 1);
  CHECK(map.shortest("abcd")->with == "A");
  CHECK(map.longest("abcd")->bytes == 3);
  CHECK(map.longest("abcd")->with == "long");
  CHECK(map.longest("abd")->with.empty());
  CHECK(map.longest("x")->with.empty());  // its text lies outside
  CHECK_FALSE(map.longest("b"));
  for (size_t size = 0; size < sizeof(trie_bytes) + trie_bytes; ++size) {
    CHECK(error_of([&] { Charsmap(as_bytes(blob).first(size), "map"); }).code() ==
          ErrorCode::kInvalidFile);
  }
}
