// Split patterns: their translation, Unicode facts, and the pieces they cut.
#include <doctest/doctest.h>

#include "lib/base/utf8.h"
#include "lib/text/nfc.h"
#include "lib/text/pattern_syntax.h"
#include "lib/text/split_pattern.h"
#include "lib/text/unicode_facts.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

std::string translated(std::string_view pattern) {
  return translate_pattern(pattern, UnicodeReach::kKnown, "t");
}

// Pieces of "the-final--countdown" by '-', a token of the model for each piece of this text.
std::string pieces(std::string_view behavior, bool invert) {
  Json json = sample_json();
  json["pre_tokenizer"] = split_json("String", "-", behavior, invert);
  json["model"]["ignore_merges"] = true;
  int id = 263;
  for (const char* piece : {"final", "countdown", "the-", "final-", "-final", "-countdown", "--",
                            "the-final-", "-countdown"}) {
    if (!json["model"]["vocab"].find(piece)) json["model"]["vocab"][piece] = id++;
  }
  json["added_tokens"] = Json::array();
  return Sample(json).cut("the-final--countdown");
}

}  // namespace

TEST_CASE("delimiters stay, go or join their neighbours as the behavior says") {
  CHECK(pieces("Isolated", false) == "|the|-|final|-|-|countdown|");
  CHECK(pieces("Removed", false) == "|the|final|countdown|");
  CHECK(pieces("Removed", true) == "|-|-|-|");
  CHECK(pieces("MergedWithPrevious", false) == "|the-|final-|-|countdown|");
  CHECK(pieces("MergedWithNext", false) == "|the|-final|-|-countdown|");
  CHECK(pieces("Contiguous", false) == "|the|-|final|--|countdown|");
}

TEST_CASE("patterns are rewritten where the two engines read them differently") {
  CHECK(translated("a|(?:b)") == "a|(?:b)");
  CHECK(translated("(a)") == "(?:a)");
  CHECK(translated(R"(\p{^L}\P{N}\d)") == R"(\P{L}\P{N}\p{Nd})");
  CHECK(translated(R"([^\s\p{L}#-])") == R"([^\s\p{L}\#\-])");
  CHECK(translated("x{,3}y{2}z{1,}") == "x{0,3}y{2}z{1,}");
  CHECK(translated(R"(\v\u4e00)") == R"(\x{b}\x{4e00})");
  CHECK(translate_pattern(R"(\s\S[\S])", UnicodeReach::kNewer, "") ==
        R"([\p{Z}\x{9}-\x{d}\x{85}][\S\x{180e}][\S\x{180e}])");
}

TEST_CASE("constructs on which the engines do not agree are refused by name") {
  const std::pair<const char*, const char*> cases[] = {
      {R"(\w)", R"('\w')"},
      {R"(\b)", R"('\b')"},
      {R"(\h)", R"('\h')"},
      {R"(\1)", R"('\1')"},
      {R"(\x41)", R"('\x')"},
      {R"(\p{Greek})", R"('\p{Greek}')"},
      {R"(\p{Mn})", "Mn"},
      {R"(\pL)", R"('\p' without a name)"},
      {R"(\p{L)", R"('\p' without an end)"},
      {"^a", "'^'"},
      {"a$", "'$'"},
      {"(?i)a", "'(?i'"},
      {"(?<n>a)", "'(?<'"},
      {"(*UTF)", "'(*U'"},
      {"a**", "a quantifier of a quantifier"},
      {"a{2}?", "a quantifier of a quantifier"},
      {"a{1,2}+", "a quantifier of a quantifier"},
      {"a{b", "'{'"},
      {"+a", "'+' after nothing"},
      {"a)", "an unmatched ')'"},
      {"(a", "an unclosed '('"},
      {"[a", "an unfinished end"},
      {"a\\", "an unfinished end"},
      {"[]a]", "']' at the beginning"},
      {"[[a]]", "a class in a class"},
      {"[a&&b]", "'&&'"},
      {R"([\p{L}-z])", "'-' after a set"},
      {R"([a-\d])", "a set as the end of a range"},
      {R"([\P{L}])", "a negated property inside a class"},
      {"(?i:ss)", "when case is ignored"},
      {"(?i:fi)", "when case is ignored"},
      {"(?i:[s]t)", "when case is ignored"},
      {"(?i:s[t])", "where case is ignored"},
      {"(?i:\xc3\xa9)", "beyond ASCII where case is ignored"},
      {R"((?i:\p{L}))", "a property where case is ignored"},
      {"(?i:(?:a))", "a group where case is ignored"},
      {"(?i:[^a])", "a negated class"},
      {"(?i:.)", "'.' where case is ignored"},
  };
  for (const auto& refused : cases) {
    const char* pattern = refused.first;
    CAPTURE(pattern);
    const Error error = error_of([&] { translated(pattern); });
    CHECK(error.code() == ErrorCode::kUnsupported);
    CHECK_MESSAGE(error.message().find(refused.second) != std::string::npos, error.message());
  }
  CHECK_THROWS_AS(translated(std::string(200, '(')), Error);
}

TEST_CASE("the second form of a pattern knows Unicode 16, the first agrees where it can") {
  const std::pair<const char*, int> patterns[] = {
      {R"(\p{L})", 141028}, {R"(\p{N})", 1911}, {R"(\s)", 25}, {R"(\p{Han})", 99030}};
  for (const auto& [source, points] : patterns) {
    const SplitPattern pattern(source, "t");
    MatchScratch known(UnicodeReach::kKnown), newer(UnicodeReach::kNewer);
    int differing = 0, found = 0;
    for (char32_t point = 0; point < 0x110000; ++point) {
      if (point >= 0xd800 && point < 0xe000) continue;
      std::string text;
      append_utf8(text, point);
      const bool matches = newer.find(pattern, text, 0).has_value();
      found += matches;
      differing += matches != known.find(pattern, text, 0).has_value() && !has_newer_points(text);
    }
    CHECK(found == points);
    CHECK(differing == 0);
  }
}

TEST_CASE("a pattern that needs too many steps gives up with a sentence") {
  Json json = sample_json();
  json["pre_tokenizer"] =
      split_json("Regex", "(?:a?){40}(?:a?){40}(?:a?){40}b|(?:(?:a|aa)+)+c", "Isolated");
  const Sample sample(json);
  const Error error = error_of([&] { sample->encode(std::string(5000, 'a')); });
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(error.message().find("a split pattern gave up on a text of 5000 bytes") !=
        std::string::npos);
}

TEST_CASE("groups that remember every turn run on a megabyte") {
  Json json = sample_json();
  json["pre_tokenizer"] = split_json("Regex", "(?:a|b)+", "Isolated");
  const Sample sample(json);
  const std::string text(1'000'000, 'b');
  CHECK(sample->decode(sample->encode(text)) == text);
}

TEST_CASE("white space, words and numbers are those of tokenizers") {
  int spaces = 0, numbers = 0;
  for (char32_t point = 0; point < 0x110000; ++point) {
    spaces += is_white_space(point);
    numbers += is_numeric(point);
  }
  CHECK(spaces == 25);
  CHECK(numbers == 1924);  // of Unicode 17
  for (const char32_t word :
       {U'a', U'_', U'7', U'\u00e9', U'\u0301', U'\u200d', U'\u24b6', U'\u4e00'}) {
    CHECK(is_word_character(word));
  }
  for (const char32_t other : {U' ', U'-', U'\u00bd', U'\u2019', U'\U0001f600'}) {
    CHECK_FALSE(is_word_character(other));
  }
}

TEST_CASE("NFC composes, orders and leaves alone") {
  const auto nfc = [](std::string_view text) {
    std::vector<TextSpan> none;
    return to_nfc(text, none).value_or(std::string(text));
  };
  CHECK(nfc("e\xcc\x81") == "\xc3\xa9");
  CHECK(nfc("\xe2\x84\xab") == "\xc3\x85");               // the Angstrom sign
  CHECK(nfc("a\xcc\x81\xcc\xa7") == "\xc3\xa1\xcc\xa7");  // cedilla first, then the acute composes
  CHECK(nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8") == "\xea\xb0\x81");  // Hangul
  CHECK(nfc("\xe0\xa5\x98") == "\xe0\xa4\x95\xe0\xa4\xbc");  // an exclusion: stays apart
  CHECK(nfc("e\xe0\xa2\x98\xcc\x81") ==
        "e\xe0\xa2\x98\xcc\x81");  // U+0898 is younger than Unicode 9
  CHECK(nfc("plain \xe4\xb8\xad") == "plain \xe4\xb8\xad");
}

TEST_CASE("NFC moves spans along") {
  // "Ae'bc": the run e + acute is bytes 1 to 4 and becomes two bytes.
  const auto moved = [](TextSpan span) {
    std::vector<TextSpan> spans = {span};
    CHECK(to_nfc("Ae\xcc\x81"
                 "bc",
                 spans) ==
          "A\xc3\xa9"
          "bc");
    return spans[0];
  };
  CHECK(moved({0, 1}) == TextSpan{0, 1});
  CHECK(moved({1, 4}) == TextSpan{1, 3});
  CHECK(moved({2, 5}) == TextSpan{1, 4});
  CHECK(moved({0, 2}) == TextSpan{0, 3});
  CHECK(moved({4, 6}) == TextSpan{3, 5});
}
