#include "lib/base/json.h"

#include <chrono>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <random>

#include "tests/support/error_of.h"

using namespace mica;
using namespace std::string_literals;
using mica::testing::error_of;

namespace {

std::string refusal(std::string_view text) {
  const Error error = error_of([&] { Json::parse(text, "t.json"); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  return error.message();
}

std::string nested(size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

// {"k0":0,"k1":1,...}, `last` being the last key.
std::string large_object(int members, const std::string& last) {
  std::string text = "{";
  for (int i = 0; i < members; ++i)
    text += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  return text + "\"" + last + "\":0}";
}

}  // namespace

TEST_CASE("a document becomes typed values in their order") {
  const Json json = Json::parse(
      R"( {"z": [1, -2, 2.5, 1e2, true, false, null], "a": {"nested": "text"}, "": ""} )", "t");
  REQUIRE(json.is_object());
  CHECK(json.as_object()[0].first == "z");
  CHECK(json.as_object()[1].first == "a");
  const Json::Array& items = json["z"].as_array();
  REQUIRE(items.size() == 7);
  CHECK(items[0].is_integer());
  CHECK(items[1].as_integer() == -2);
  CHECK(!items[2].is_integer());
  CHECK(items[2].as_number() == 2.5);
  CHECK(items[3].as_integer() == 100);
  CHECK(items[4].as_bool());
  CHECK(!items[5].as_bool());
  CHECK(items[6].is_null());
  CHECK(json["a"]["nested"].as_string() == "text");
  CHECK(json[""].as_string() == "");
}

TEST_CASE("a scalar is a document too") {
  CHECK(Json::parse("null", "t").is_null());
  CHECK(Json::parse(" 7\n", "t").as_integer() == 7);
  CHECK(Json::parse("\"x\"", "t").as_string() == "x");
}

TEST_CASE("escapes become UTF-8, surrogate pairs included") {
  CHECK(Json::parse(R"("\"\\\/\b\f\n\r\t")", "t").as_string() == "\"\\/\b\f\n\r\t");
  CHECK(Json::parse(R"("\u00e9\u20ac\ud83d\ude00")", "t").as_string() == "é€😀");
  CHECK(Json::parse(R"("a\u0000b")", "t").as_string() == "a\0b"s);
}

TEST_CASE("integers are exact over the whole of int64 and become doubles beyond") {
  CHECK(Json::parse("9223372036854775807", "t").as_integer() == INT64_MAX);
  CHECK(Json::parse("-9223372036854775808", "t").as_integer() == INT64_MIN);
  const Json beyond = Json::parse("9223372036854775808", "t");
  CHECK(!beyond.is_integer());
  CHECK(beyond.as_number() == 0x1p63);
  CHECK(Json(uint64_t{1} << 63).as_number() == 0x1p63);
  CHECK(Json(uint32_t{7}).is_integer());
}

TEST_CASE("text that is not JSON is refused with its name and place") {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[",
                           "]",
                           "[1,]",
                           "{\"a\":1,}",
                           "{\"a\"}",
                           "{a:1}",
                           "{'a':1}",
                           "[1 2]",
                           "nul",
                           "tru",
                           "NaN",
                           "Infinity",
                           "-",
                           "+1",
                           "01",
                           "1.",
                           ".5",
                           "1e",
                           "0x10",
                           "\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\ud83d\"",
                           "\"\\ude00\"",
                           "\"\\ud83d\\u0041\"",
                           "\"line\nbreak\"",
                           "\"tab\ttab\"",
                           "[1]x",
                           "1 2",
                           "{}{}",
                           "/* c */ 1",
                           "1 // c",
                           "1e999",
                           "-1e999",
                           "\xff\xfe[",
                           "[1]\xff"}) {
    CAPTURE(text);
    CHECK(refusal(text).starts_with("t.json: invalid JSON at byte "));
  }
}

TEST_CASE("a refusal tells the byte and the reason, without what was read") {
  CHECK(refusal("[1, 2, x]").starts_with("t.json: invalid JSON at byte 8: "));
  const std::string endless = "[" + std::string(1 << 20, '1') + "x";
  CHECK(refusal(endless).size() < 300);
  CHECK(refusal("\"" + std::string(1 << 20, 'y') + "\x01\"").size() < 300);
}

TEST_CASE("text that is not UTF-8 is refused, in values and in keys") {
  for (const char* part :
       {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82"}) {
    CHECK(!refusal("[\""s + part + "\"]").empty());
    CHECK(!refusal("{\""s + part + "\":1}").empty());
  }
}

TEST_CASE("a NUL byte is refused wherever it stands") {
  CHECK(refusal("[1]\0"s) == "t.json: invalid JSON at byte 3: expected text, found a NUL byte");
  CHECK(!refusal("[1]\0garbage"s).empty());
  CHECK(!refusal("\0[1]"s).empty());
  CHECK(!refusal("[\"\0\"]"s).empty());
}

TEST_CASE("one hundred levels are taken and one more is refused") {
  CHECK(Json::parse(nested(100), "t").is_array());
  CHECK(refusal(nested(101)) ==
        "t.json: invalid JSON at byte 101: expected at most 100 levels, found more");
  CHECK(!refusal(std::string(5'000'000, '[')).empty());
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  CHECK(!refusal(objects).empty());
}

TEST_CASE("a duplicate key is refused in small and in large objects") {
  CHECK(refusal(R"({"a":1,"b":2,"a":3})").find("found \"a\" twice") != std::string::npos);
  CHECK(!refusal(R"({"a":1,"\u0061":3})").empty());
  CHECK(!refusal(R"([{"x":{"a":1,"a":3}}])").empty());
  for (const int members : {14, 15, 16, 17, 100'000}) {
    CAPTURE(members);
    CHECK(Json::parse(large_object(members, "other"), "t").as_object().size() ==
          size_t(members) + 1);
    CHECK(refusal(large_object(members, "k7")).find("\"k7\" twice") != std::string::npos);
  }
  CHECK(Json::parse(R"([{"a":1},{"a":1}])", "t").as_array().size() == 2);
}

TEST_CASE("an object of half a million members is parsed in the time that its size takes") {
  const std::string text = large_object(500'000, "last");
  const auto start = std::chrono::steady_clock::now();
  CHECK(Json::parse(text, "t").as_object().size() == 500'001);
  // A quadratic search would take 10^11 comparisons: minutes.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("what is written parses back to the same value") {
  std::mt19937_64 random(3);
  Json::Array items{0,
                    -1,
                    INT64_MIN,
                    INT64_MAX,
                    0.1,
                    -0.0,
                    1e300,
                    5e-324,
                    3.0,
                    1e20,
                    1e-7,
                    "",
                    "a\"b\\c",
                    "é😀\x01\x1f\x7f",
                    "\0"s,
                    nullptr,
                    true,
                    false,
                    Json::object(),
                    Json::array()};
  for (int i = 0; i < 2000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (std::isfinite(value)) items.emplace_back(value);
    items.emplace_back(
        static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(random()) & 0x7f7fffffu)));
  }
  Json json =
      Json::object({{"items", Json(items)}, {"deep", Json::object({{"k", Json::array()}})}});
  for (const int indent : {0, 2}) {
    const Json back = Json::parse(json.dump(indent), "t");
    CHECK(back == json);
    const Json::Array& numbers = back["items"].as_array();
    for (size_t i = 0; i < items.size(); ++i) {
      REQUIRE(numbers[i].is_integer() == items[i].is_integer());
      if (items[i].is_number()) {
        REQUIRE(std::signbit(numbers[i].as_number()) == std::signbit(items[i].as_number()));
      }
    }
  }
}

TEST_CASE("numbers are written as short as can be") {
  CHECK(Json(0.1).dump() == "0.1");
  CHECK(Json(3.0).dump() == "3.0");
  CHECK(Json(-0.0).dump() == "-0.0");
  CHECK(Json(1e20).dump() == "1e+20");
  CHECK(Json(INT64_MIN).dump() == "-9223372036854775808");
}

TEST_CASE("the written form has no white space unless it is asked for") {
  const Json json =
      Json::object({{"a", Json::Array{1, 2}}, {"b", Json::object()}, {"c", Json::array()}});
  CHECK(json.dump() == R"({"a":[1,2],"b":{},"c":[]})");
  CHECK(json.dump(2) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {},\n  \"c\": []\n}");
}

TEST_CASE("NaN and infinity cannot be written") {
  CHECK_THROWS_AS(Json(std::numeric_limits<double>::quiet_NaN()).dump(), Error);
  CHECK_THROWS_AS(Json(Json::Array{-std::numeric_limits<double>::infinity()}).dump(), Error);
}

TEST_CASE("bytes that are no text are written as U+FFFD") {
  CHECK(Json("a\xff").dump() == "\"a\xef\xbf\xbd\"");
}

TEST_CASE("a value of the wrong type is refused with what was expected and found") {
  const Json json = Json::parse(R"({"n": 2.5, "s": "x", "big": 1e19, "i": 3.0, "nan": [1]})", "t");
  CHECK(error_of([&] { json["n"].as_integer("config.json: layers"); }).message() ==
        "config.json: layers: expected integer, found number");
  CHECK(error_of([&] { json["s"].as_number(); }).message() ==
        "value: expected number, found string");
  CHECK(error_of([&] { json["s"].as_bool(""); }).message() == "expected boolean, found string");
  CHECK_THROWS_AS(json["big"].as_integer(), Error);
  CHECK_THROWS_AS(json["absent"].as_string(), Error);
  CHECK_THROWS_AS(json["s"].as_array(), Error);
  CHECK_THROWS_AS(json["nan"].as_object(), Error);
  CHECK(json["i"].as_integer() == 3);
  CHECK(Json(-0x1p63).as_integer() == INT64_MIN);
  CHECK(Json(5).as_number() == 5.0);
}

TEST_CASE("members are found, absent ones are null, and new ones are appended") {
  Json json;
  CHECK(std::as_const(json)["a"].is_null());
  CHECK(json.find("a") == nullptr);
  json["a"] = 1;
  json["b"]["c"] = "deep";
  json["a"] = 2;
  json["list"].push_back(1);
  json["list"].push_back("two");
  CHECK(json.dump() == R"({"a":2,"b":{"c":"deep"},"list":[1,"two"]})");
  CHECK(json.find("b")->find("c")->as_string() == "deep");
  CHECK(std::as_const(json)["a"]["not an object"].is_null());
  CHECK_THROWS_AS(json["a"]["x"] = 1, Error);
  CHECK_THROWS_AS(json["a"].push_back(1), Error);
}
