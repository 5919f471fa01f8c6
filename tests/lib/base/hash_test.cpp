#include "lib/base/hash.h"

#include <doctest/doctest.h>
#include <string>

using namespace mica;

// `printf '' | xxhsum -H2` and so on, xxhsum 0.8.1.
TEST_CASE("a hash is what xxhsum -H2 prints") {
  CHECK(hash128({}).hex() == "99aa06d3014798d86001c324468d497f");
  CHECK(hash128(as_bytes("abc")).hex() == "06b05ab6733a618578af5f94892f3950");
}

TEST_CASE("a hash of pieces is the hash of the whole") {
  std::string text;
  for (int i = 0; text.size() < 300'000; ++i) text += std::to_string(i * 7919);
  // Around the lengths where XXH3 changes its ways (16, 128, 240, 1024).
  for (const size_t size : {0, 1, 16, 17, 128, 129, 240, 241, 1023, 1024, 1025, 300'000}) {
    const std::string_view whole = std::string_view(text).substr(0, size);
    for (const size_t piece : {1, 7, 64, 256, 100'000}) {
      StreamHash128 stream;
      for (size_t at = 0; at < whole.size(); at += piece) {
        stream.update(as_bytes(whole.substr(at, piece)));
      }
      REQUIRE(stream.digest() == hash128(as_bytes(whole)));
      REQUIRE(stream.digest() == hash128(as_bytes(whole)));
    }
  }
}

TEST_CASE("a moved stream goes on where it was") {
  StreamHash128 first;
  first.update(as_bytes("ab"));
  StreamHash128 second(std::move(first));
  second.update(as_bytes("c"));
  StreamHash128 third;
  third = std::move(second);
  CHECK(third.digest() == hash128(as_bytes("abc")));
}

TEST_CASE("one flipped bit changes the hash") {
  std::string text(1000, 'x');
  const Hash128 before = hash128(as_bytes(text));
  text[500] ^= 1;
  CHECK(hash128(as_bytes(text)) != before);
}
