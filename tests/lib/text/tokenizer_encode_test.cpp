// What encode() makes of texts. That it is what Hugging Face makes of them is
// compare_tokenizers.py's.
#include <algorithm>
#include <ctime>
#include <doctest/doctest.h>
#include <random>
#include <thread>

#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

Json with_added(std::initializer_list<Json> tokens) {
  Json json = sample_json();
  for (const Json& token : tokens) json["added_tokens"].push_back(token);
  return json;
}

Json flagged(Json token, std::initializer_list<const char*> flags) {
  for (const char* flag : flags) token[flag] = true;
  return token;
}

// Byte pair encoding by its definition: the pair of least rank, leftmost, until there is none.
std::vector<std::string> merged_by_definition(std::string_view piece) {
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"t", "h"}, {"th", "e"}, {" ", "t"}, {" ", "the"}, {"a", "a"}, {"a", "b"}, {"a", "ab"}};
  std::vector<std::string> parts;
  for (const char byte : piece) parts.emplace_back(1, byte);
  while (true) {
    size_t least = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = std::ranges::find(merges, std::pair(parts[i], parts[i + 1]));
      const auto rank = static_cast<size_t>(found - merges.begin());
      if (rank < least) least = rank, at = i;
    }
    if (least == merges.size()) return parts;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

}  // namespace

TEST_CASE("the pair of least rank is merged first, the leftmost of equals") {
  const Sample sample(sample_json());
  CHECK(sample.cut("the") == "|the|");
  CHECK(sample.cut(" the") == "| the|");
  CHECK(sample.cut("aaa") == "|aa|a|");
  CHECK(sample.cut("aab") == "|aa|b|");  // "aa" before "ab", so "aab" is never made
  CHECK(sample.cut("") == "|");
}

TEST_CASE("long pieces are merged as short ones are") {
  Json json = sample_json();
  json["pre_tokenizer"]["use_regex"] = false;
  const Sample sample(json);
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    const size_t size = 1 + random() % 120;  // both sides of the border between the two algorithms
    while (text.size() < size) text += "the ab"[random() % 6];
    std::string expected = "|";
    for (const std::string& part : merged_by_definition(text)) expected += part + "|";
    CHECK(sample.cut(text) == expected);
  }
}

TEST_CASE("a megabyte of one class takes time in proportion") {
  for (const char* name : {"gpt2", "llama3", "qwen2", "smollm"}) {
    const Sample sample(committed_json(name));
    for (const char* unit : {"a", " ", "\n", "7", "!", "\xe4\xb8\xad", "\xcc\x81", "ab "}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      const std::clock_t start = std::clock();  // of this process: others may be busy
      const auto ids = sample->encode(text, {.add_special_tokens = false});
      const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      CHECK(sample->decode(ids) == text);
      // A quadratic step would take minutes; a second is ten times what is needed.
      CHECK_MESSAGE(seconds < 10, name, " '", unit, "'");
    }
  }
}

TEST_CASE("a whole piece that is a token of the model needs no merges when the model says so") {
  Json json = sample_json();
  const Sample merged(json);
  json["model"]["ignore_merges"] = true;
  const Sample whole(json);
  CHECK(merged.cut("aab") == "|aa|b|");
  CHECK(whole.cut("aab") == "|aab|");
  // An added token is none of the model's, nor is a spelling that stands for other bytes.
  CHECK(whole.cut("<s>", {.match_added_tokens = false}) == "|<|s|>|");
  CHECK(whole.cut("\xc4\xa0the") == "|\xc4|\xa0|the|");
}

TEST_CASE("bytes without a token are dropped, or become the unknown token") {
  Json json = sample_json();
  json["model"]["vocab"] = Json::parse(R"({"a": 0, "b": 1, "ab": 2, "?": 3})", "");
  json["model"]["merges"] = Json::parse(R"([["a", "b"]])", "");
  json["added_tokens"] = Json::array();
  CHECK(Sample(json).cut("axxb") == "|ab|");
  json["model"]["unk_token"] = "?";
  CHECK(Sample(json).cut("axxb") == "|a|?|?|b|");
  json["model"]["fuse_unk"] = true;
  CHECK(Sample(json).cut("axxbyab") == "|a|?|b|?|ab|");
}

TEST_CASE("the longest added token wins, the leftmost first") {
  const Sample sample(with_added({added_token(265, "<x"), added_token(266, "<x><y>")}));
  CHECK(sample.cut("<x><y>") == "|<x><y>|");
  CHECK(sample.cut("<x><z>") == "|<x|>|<|z|>|");
  CHECK(sample.cut("a<s></s>") == "|a|<s>|</s>|");
  CHECK(sample->encode("<s>") == std::vector<TokenId>{263});
  CHECK(sample.cut("a<s>", {.match_added_tokens = false}) == "|a|<|s|>|");
}

TEST_CASE("added tokens take spaces and respect words as their flags say") {
  const Sample sample(with_added({flagged(added_token(265, "[L]"), {"lstrip"}),
                                  flagged(added_token(266, "[R]"), {"rstrip"}),
                                  flagged(added_token(267, "word"), {"single_word"})}));
  CHECK(sample.cut("a \xe2\x80\x89[L] b") == "|a|[L]| |b|");
  CHECK(sample.cut("a [R] \n b") == "|a| |[R]|b|");
  CHECK(sample.cut("[R] [L]") == "|[R]|[L]|");
  CHECK(sample.cut("word-word") == "|word|-|word|");
  CHECK(sample.cut("words") == "|w|o|r|d|s|");
  CHECK(sample.cut("\xc3\xa9word") == "|\xc3|\xa9|w|o|r|d|");
}

// As PyPI tokenizers 0.23 does; it panics where a token would end before it begins, as in
// "a\n\n\n".
TEST_CASE("a token all of whose spaces an earlier one took is none") {
  const Sample sample(with_added({flagged(added_token(265, "\n"), {"lstrip", "rstrip"}),
                                  flagged(added_token(266, "[R]"), {"rstrip"})}));
  CHECK(sample.cut("a\n\nb\n") == "|a|\n|b|\n|");
  CHECK(sample.cut("[R]\nb") == "|[R]|b|");
  CHECK(sample.cut("a\n\n\nb") == "|a|\n|b|");
}

TEST_CASE("added tokens stop where plain spans begin, but for the spaces they take") {
  const Sample sample(with_added(
      {flagged(added_token(265, "<s>a"), {}), flagged(added_token(266, "[R]"), {"rstrip"})}));
  const auto cut = [&](std::string_view text, TextSpan span) {
    return sample.cut(text, {.plain_spans = {&span, 1}});
  };
  CHECK(cut("<s>a", {4, 4}) == "|<s>a|");
  CHECK(cut("<s>a", {3, 4}) == "|<s>|a|");
  CHECK(cut("[R]  [R]", {4, 8}) == "|[R]|[|R|]|");
}

TEST_CASE("special spellings inside plain spans are text") {
  const Sample sample(sample_json());
  const std::string text = "<s>a<s>b</s>";
  const auto cut = [&](std::vector<TextSpan> spans) {
    return sample.cut(text, {.plain_spans = spans});
  };
  CHECK(cut({}) == "|<s>|a|<s>|b|</s>|");
  CHECK(cut({{3, 8}}) == "|<s>|a|<|s|>|b|</s>|");
  CHECK(cut({{0, 3}, {8, 12}}) == "|<|s|>|a|<s>|b|<|/|s|>|");
  CHECK(cut({{5, 6}}) == "|<s>|a|<|s|>|b|</s>|");  // a spelling half inside is no token either
  CHECK(cut({{7, 9}, {10, 10}}) == "|<s>|a|<s>|b|<|/|s|>|");
}

TEST_CASE("plain spans move along with normalization") {
  Json json = with_added({flagged(added_token(265, "[n]"), {"normalized"})});
  json["normalizer"] = Json::object({{"type", "NFC"}});
  const Sample sample(json);
  // Four characters of three bytes before the span become one of two bytes each.
  std::string text;
  for (int i = 0; i < 4; ++i) text += "e\xcc\x81";
  const std::vector<TextSpan> spans = {{text.size(), text.size() + 3}};
  text += "[n][n]";
  CHECK(sample->encode(text).back() == 265);
  const auto ids = sample->encode(text, {.plain_spans = spans});
  CHECK(ids.size() == 8 + 3 + 1);
  CHECK(ids.back() == 265);
}

TEST_CASE("what the post-processor adds stands around the text, on request") {
  const Sample sample(committed_json("llama3"));
  const std::vector<TokenId> prefix(sample->prefix_tokens().begin(), sample->prefix_tokens().end());
  CHECK(prefix == std::vector<TokenId>{sample->find("<|begin_of_text|>")});
  CHECK(sample->encode("").size() == 1);
  CHECK(sample->encode("", {.add_special_tokens = false}).empty());
  CHECK(sample->encode("a")[0] == prefix[0]);
}

TEST_CASE("text that is no UTF-8 is refused with its place") {
  const Sample sample(sample_json());
  const Error error = error_of([&] { sample->encode("ab\xff"); });
  CHECK(error.code() == ErrorCode::kUsage);
  CHECK(error.message() ==
        "sample: the text is not UTF-8: expected a character at byte 2, found 0xff");
}

TEST_CASE("threads may encode with one tokenizer at once, from the first call on") {
  const Sample sample(committed_json("llama3"));
  const std::string text =
      "It's the first call, and \xf0\x9f\x98\x80 1234 times \xe0\xa2\x97 the same.";
  std::vector<std::vector<TokenId>> results(8);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) threads.emplace_back([&] { result = sample->encode(text); });
  }
  for (const auto& result : results) CHECK(result == results[0]);
}
