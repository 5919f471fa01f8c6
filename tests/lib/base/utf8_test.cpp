#include "lib/base/utf8.h"

#include <doctest/doctest.h>
#include <random>
#include <vector>

using namespace mica;
using namespace std::string_literals;

namespace {

const std::string kBad = "\xef\xbf\xbd";

bool is_surrogate(char32_t code_point) {
  return code_point >= 0xd800 && code_point <= 0xdfff;
}

std::string encode(char32_t code_point) {
  std::string text;
  append_utf8(text, code_point);
  return text;
}

struct Repair {
  std::string text, repaired;
};

// The examples of Unicode 15, tables 3-8 to 3-11, and cut characters.
const std::vector<Repair> kRepairs = {
    {"", ""},
    {"plain", "plain"},
    {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
     kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
     kBad + kBad + kBad + kBad + kBad + kBad + kBad + kBad + "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
     kBad + kBad + kBad + kBad + kBad + "A" + kBad + kBad + "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", kBad + kBad + kBad + kBad + "A"},
    {"end \xf0\x9f\x98", "end " + kBad},
    {"end \xe2\x82", "end " + kBad},
    {"end \xc3", "end " + kBad},
    {"\xf0\x9f\x98\x80\xf0\x9f", "\xf0\x9f\x98\x80" + kBad},
    {"\xf5\x80\xfe", kBad + kBad + kBad},
    {"a\0b\xff"s, "a\0b"s + kBad},
};

}  // namespace

TEST_CASE("every code point comes back from its encoding, and the number of bytes is the least") {
  for (char32_t code_point = 0; code_point <= 0x10ffff; ++code_point) {
    if (is_surrogate(code_point)) continue;
    const std::string text = encode(code_point);
    const CodePoint decoded = decode_utf8(text, 0);
    REQUIRE(decoded.value == code_point);
    REQUIRE(decoded.bytes == static_cast<int>(text.size()));
    REQUIRE(decoded.bytes ==
            1 + (code_point >= 0x80) + (code_point >= 0x800) + (code_point >= 0x10000));
    REQUIRE(find_invalid_utf8(text) == kValid);
  }
}

TEST_CASE("what is no character is appended as U+FFFD") {
  CHECK(encode(0xd800) == kBad);
  CHECK(encode(0xdfff) == kBad);
  CHECK(encode(0x110000) == kBad);
  CHECK(encode(0xffffffff) == kBad);
}

TEST_CASE("of all strings of three bytes exactly those made of characters are valid") {
  std::vector<bool> one(1 << 8), two(1 << 16), three(1 << 24);
  for (char32_t code_point = 0; code_point < 0x10000; ++code_point) {
    if (is_surrogate(code_point)) continue;
    uint32_t key = 0;
    const std::string text = encode(code_point);
    for (const char c : text) key = key << 8 | static_cast<uint8_t>(c);
    (text.size() == 1 ? one : text.size() == 2 ? two : three)[key] = true;
  }
  uint32_t wrong = 0;
  for (uint32_t key = 0; key < 1 << 24; ++key) {
    const char text[3] = {static_cast<char>(key >> 16), static_cast<char>(key >> 8),
                          static_cast<char>(key)};
    const uint32_t a = key >> 16, b = key >> 8 & 255, c = key & 255;
    const bool valid = (one[a] && one[b] && one[c]) || (one[a] && two[key & 0xffff]) ||
                       (two[key >> 8] && one[c]) || three[key];
    wrong += valid != (find_invalid_utf8({text, 3}) == kValid);
  }
  CHECK(wrong == 0);
}

TEST_CASE("exactly 2^20 strings of four bytes are a four-byte character") {
  uint32_t valid = 0;
  for (uint32_t lead = 0xe0; lead < 0x100; ++lead) {
    for (uint32_t second = 0; second < 0x100; ++second) {
      // The last two bytes have one range each, whatever stands before: its edges count for all.
      for (const uint32_t third : {0x7f, 0x80, 0xbf, 0xc0}) {
        for (const uint32_t fourth : {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff}) {
          const char text[4] = {static_cast<char>(lead), static_cast<char>(second),
                                static_cast<char>(third), static_cast<char>(fourth)};
          valid += decode_utf8({text, 4}, 0).bytes == 4;
        }
      }
    }
  }
  CHECK(valid == (1u << 20) / (64 * 64) * (2 * 2));
}

TEST_CASE("the offset of the first bad byte sequence is found behind any number of good ones") {
  for (size_t length = 0; length < 40; ++length) {
    const std::string text = std::string(length, 'a') + "\xc3\xa9";
    CHECK(find_invalid_utf8(text + "\x80" + "aaaaaaaaaaaaaaaaaaa") == length + 2);
    CHECK(find_invalid_utf8(text + "\xe2\x82") == length + 2);
    CHECK(find_invalid_utf8(text) == kValid);
  }
}

TEST_CASE("decoding outside the text or in the middle of a character gives no bytes") {
  CHECK(decode_utf8("a", 1).bytes == 0);
  CHECK(decode_utf8("a", 100).bytes == 0);
  CHECK(decode_utf8("\xc3\xa9", 1).bytes == 0);
  CHECK(decode_utf8("\xe2\x82", 0).bytes == 0);
}

TEST_CASE("every maximal ill-formed part is replaced by one U+FFFD") {
  for (const Repair& repair : kRepairs) CHECK(replace_invalid_utf8(repair.text) == repair.repaired);
}

TEST_CASE("a stream gives the repaired text however it is cut, and only whole characters") {
  std::string all;
  for (const Repair& repair : kRepairs) all += repair.text;
  std::mt19937 random(1);
  std::string noise;
  for (int i = 0; i < 3000; ++i)
    noise += static_cast<char>("\x41\x80\xbf\xc3\xe2\xed\xf0\xf4"[random() % 8]);
  for (const std::string& text : {all, noise}) {
    for (size_t piece = 1; piece < 9; ++piece) {
      Utf8Stream stream;
      std::string out;
      for (size_t at = 0; at < text.size(); at += piece) {
        const std::string given = stream.push(std::string_view(text).substr(at, piece));
        REQUIRE(find_invalid_utf8(given) == kValid);
        out += given;
      }
      out += stream.flush();
      REQUIRE(out == replace_invalid_utf8(text));
    }
  }
}

TEST_CASE("a stream holds back half a character only, and only while it may become whole") {
  Utf8Stream stream;
  CHECK(stream.push("a\xf0") == "a");
  CHECK(stream.push("\x9f") == "");
  CHECK(stream.push("\x98") == "");
  CHECK(stream.push("\x80") == "\xf0\x9f\x98\x80");
  CHECK(stream.push("\xe2") == "");
  CHECK(stream.push("x") == kBad + "x");
  CHECK(stream.push("\xff") == kBad);
  CHECK(stream.flush() == "");
  CHECK(stream.push("\xf0\x9f") == "");
  CHECK(stream.flush() == kBad);
  CHECK(stream.flush() == "");
}
