// Tokenizers of the SentencePiece families: marked spaces, byte fallback, unigram models. That
// their ids are those of Hugging Face and SentencePiece is compare_tokenizers.py's and
// compare_sentencepiece.py's.
#include <algorithm>
#include <ctime>
#include <doctest/doctest.h>
#include <random>

#include "lib/base/utf8.h"
#include "lib/text/image_layout.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

std::vector<TokenId> ids_of(const Sample& sample, std::initializer_list<const char*> spellings) {
  std::vector<TokenId> ids;
  for (const char* spelling : spellings) ids.push_back(sample->find(spelling));
  return ids;
}

// A unigram model with these tokens, whose text is not changed before.
Json unigram_json(const char* vocabulary) {
  Json json = Json::parse(R"({"model": {"type": "Unigram", "unk_id": 0}, "decoder":
                              {"type": "Metaspace", "replacement": "▁"}})",
                          "");
  json["model"]["vocab"] = Json::parse(vocabulary, "");
  json["added_tokens"] = Json::array();
  return json;
}

}  // namespace

TEST_CASE("the kind of a tokenizer is that of its model") {
  CHECK(std::string(Sample(committed_json("gpt2"))->kind()) == "byte-level BPE");
  CHECK(std::string(Sample(committed_json("llama2"))->kind()) == "BPE");
  CHECK(std::string(Sample(committed_json("t5"))->kind()) == "unigram");
}

TEST_CASE("byte-level tokenizers keep the first version of the image") {
  CHECK(Sample(committed_json("llama3")).image()[8] == std::byte{1});
  CHECK(Sample(committed_json("llama2")).image()[8] == std::byte{2});
}

TEST_CASE("a character without a token becomes its bytes, and they the character again") {
  const Sample sample(committed_json("llama2"));
  const auto ids = sample->encode("\xf0\x9f\xab\xa0", {.add_special_tokens = false});
  CHECK(ids == ids_of(sample, {"\xe2\x96\x81", "<0xF0>", "<0x9F>", "<0xAB>", "<0xA0>"}));
  CHECK(sample->token_bytes(ids[1]) == "\xf0");
  CHECK(sample->token_bytes(ids[0]) == " ");
  CHECK(sample->decode(ids) == "\xf0\x9f\xab\xa0");
}

TEST_CASE("the space put before a text is taken away again, no other") {
  const Sample sample(committed_json("llama2"));
  for (const char* text : {"The fox", " The fox", "   ", "", "\n", "a  b "}) {
    CHECK(sample->decode(sample->encode(text, {.add_special_tokens = false})) == text);
  }
  // Behind a special token, the way of the families that are not new.
  CHECK(sample->decode(sample->encode("<s>a<s>b", {.add_special_tokens = false})) == "<s> a<s> b");
}

TEST_CASE("byte tokens that are no text become one U+FFFD each") {
  const Sample sample(committed_json("llama2"));
  const auto cut = ids_of(sample, {"<0xE5>", "<0xA4>", "a", "<0xC3>", "<0xA9>", "<0xC3>"});
  CHECK(sample->decode(cut) ==
        "\xef\xbf\xbd\xef\xbf\xbd"
        "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("a stream never lets half a character out and adds up to the decoded text") {
  std::mt19937 random(4);
  for (const char* name : {"llama2", "gemma", "t5"}) {
    const Sample sample(committed_json(name));
    for (int round = 0; round < 60; ++round) {
      std::vector<TokenId> ids = sample->encode("\xe5\xa4\xa9 \xf0\x9f\x98\x80 the fox \xc3\xa9");
      for (int i = 0; i < 40; ++i) {
        ids.push_back(static_cast<TokenId>(random() % (i % 2 ? 260 : sample->vocabulary_size())));
      }
      for (const bool skip : {false, true}) {
        DecodeStream stream(*sample, skip);
        std::string streamed;
        for (const TokenId id : ids) {
          const std::string piece = stream.push(id);
          CHECK(find_invalid_utf8(piece) == kValid);
          streamed += piece;
        }
        CHECK(streamed + stream.flush() == sample->decode(ids, skip));
      }
    }
  }
}

TEST_CASE("complete characters of byte tokens come with the next token") {
  const Sample sample(committed_json("llama2"));
  DecodeStream stream(*sample, true);
  for (const char* byte : {"<0xF0>", "<0x9F>", "<0xAB>", "<0xA0>"}) {
    CHECK(stream.push(sample->find(byte)).empty());
  }
  CHECK(stream.push(sample->find("a")) ==
        "\xf0\x9f\xab\xa0"
        "a");
}

TEST_CASE("words are cut apart only where that changes nothing") {
  Json json = committed_json("gemma");
  const Sample cut(json);
  // A merge across words: then the whole text is one piece.
  json["model"]["merges"].push_back(Json::parse(R"(["x", "▁"])", ""));
  json["model"]["vocab"]["x▁"] = cut->vocabulary_size();
  const Sample whole(json);
  const std::string text = "The quick  brown fox\n jumps    over 123 the lazy dog";
  CHECK(cut->encode(text) == whole->encode(text));
  CHECK(whole->encode("x x").size() == cut->encode("x x").size() - 1);
}

TEST_CASE("the greatest sum of scores wins, the first of equals") {
  const Sample sample(unigram_json(R"([["?", 0], ["a", -1], ["b", -1], ["ab", -2], ["c", -5],
                                       ["bc", -2], ["abc", -4]])"));
  CHECK(sample.cut("ab") == "|ab|");  // both ways sum to -2: the longer token is offered first
  CHECK(sample.cut("abc") == "|a|bc|");
  CHECK(sample.cut("cab") == "|c|ab|");
}

TEST_CASE("unknown characters in a row are one unknown token") {
  const Sample sample(unigram_json(R"([["?", 0], ["a", -1], ["xy", -90]])"));
  CHECK(sample.cut("a\xc3\xa9z"
                   "a") == "|a|?|a|");
  CHECK(sample.cut("zz") == "|?|");
  CHECK(sample.cut("xy") == "|xy|");  // as tokenizers looks the whole run up
}

TEST_CASE("no text becomes a special token of a unigram model unless it is matched") {
  Json json = unigram_json(R"([["?", 0], ["<", -3], ["s", -3], [">", -3], ["<s>", 0]])");
  Json token = added_token(4, "<s>");
  token["special"] = true;
  json["added_tokens"].push_back(token);
  const Sample sample(json);
  CHECK(sample.cut("<s>") == "|<s>|");
  CHECK(sample.cut("<s>", {.match_added_tokens = false}) == "|<|s|>|");
}

TEST_CASE("added tokens of white space are matched in plain text too, others are not") {
  const Sample sample(committed_json("gemma"));
  const std::string text = "<h1>\n\n\n<h1>";
  const TextSpan all{0, text.size()};
  const auto ids = sample->encode(text, {.add_special_tokens = false, .plain_spans = {&all, 1}});
  CHECK(std::ranges::count(ids, sample->find("\n\n")) == 1);
  CHECK(std::ranges::count(ids, sample->find("<h1>")) == 0);
  const auto matched = sample->encode(text, {.add_special_tokens = false});
  CHECK(matched == ids_of(sample, {"<h1>", "\n\n", "\n", "<h1>"}));
}

TEST_CASE("plain spans move along with every normalizer") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"type": "Prepend", "prepend": "▁▁"})", "a [n][n]"},
      {R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})", "a  b [n][n]"},
      {R"({"type": "Replace", "pattern": {"Regex": "a+"}, "content": ""})", "aab aa [n][n]"},
      {R"({"type": "Strip", "strip_left": true, "strip_right": true})", "   [n][n]  "},
      {R"({"type": "SentencePiece", "precompiled_charsmap": ""})", "  a   b [n][n] "},
  };
  for (const auto& [given, text] : cases) {
    const std::string normalizer = given;
    CAPTURE(normalizer);
    Json json = committed_json("llama2");
    json["normalizer"] = Json::parse(normalizer, "");
    json["pre_tokenizer"] = Json();
    json["added_tokens"] = Json::array();
    json["post_processor"] = Json();
    const auto size = static_cast<int>(json["model"]["vocab"].as_object().size());
    const std::string where = text;
    // Spelled as it comes out of the normalizer: that of Prepend changes added tokens too.
    Json token = added_token(size, "[n]");
    token["normalized"] = where.find("▁") == where.npos && normalizer[10] != 'P';
    json["added_tokens"].push_back(token);
    const Sample sample(json);
    const TextSpan first{where.find("[n]"), where.find("[n]") + 3};
    const auto ids = sample->encode(where, {.plain_spans = {&first, 1}});
    CHECK(std::ranges::count(ids, size) == 1);
    CHECK(std::ranges::count(sample->encode(where), size) == 2);
  }
}

TEST_CASE("a megabyte of one class takes time in proportion in every model") {
  for (const char* name : {"llama2", "gemma", "t5"}) {
    const Sample sample(committed_json(name));
    for (const char* unit :
         {"a", " ", "\n", "7", "!", "\xe4\xb8\xad", "\xcc\x81", "ab ", "\xf0\x9f\xab\xa0"}) {
      std::string text;
      while (text.size() < 1'000'000) text += unit;
      const std::clock_t start = std::clock();  // of this process: others may be busy
      const auto ids = sample->encode(text, {.add_special_tokens = false});
      sample->decode(ids);
      const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      // A quadratic step would take minutes; a second is what is needed.
      CHECK_MESSAGE(seconds < 10, name, " '", unit, "'");
    }
  }
}
