// Tokens back to text, whole and piece by piece.
#include <doctest/doctest.h>
#include <random>

#include "lib/base/utf8.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

TEST_CASE("decoding gives back the text") {
  const Sample sample(committed_json("gpt2"));
  const std::string text =
      "The \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7 <|endoftext|> caf\xc3\xa9\n\t\x01";
  CHECK(sample->decode(sample->encode(text)) == text);
}

TEST_CASE("bytes that form no character become U+FFFD") {
  const Sample sample(sample_json());
  const TokenId lead = sample->encode("\xc3\xa9")[0];
  CHECK(sample->token_bytes(lead) == "\xc3");
  CHECK(sample->decode(std::vector<TokenId>{lead}) == "\xef\xbf\xbd");
  CHECK(sample->decode(std::vector<TokenId>{lead, lead}) == "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("special tokens are left out on request") {
  const Sample sample(sample_json());
  const auto ids = sample->encode("<s>a</s>");
  CHECK(sample->decode(ids) == "<s>a</s>");
  CHECK(sample->decode(ids, true) == "a");
  CHECK(sample->is_special(ids[0]));
  CHECK_FALSE(sample->is_special(ids[1]));
}

TEST_CASE("streamed pieces are whole characters and add up to the decoded text") {
  std::mt19937 random(2);
  for (const char* name : {"gpt2", "qwen2"}) {
    const Sample sample(committed_json(name));
    for (int round = 0; round < 50; ++round) {
      std::vector<TokenId> ids =
          sample->encode("\xe5\xa4\xa9 \xf0\x9f\x98\x80<|endoftext|>\xc3\xa9");
      for (int i = 0; i < 40; ++i) {
        ids.push_back(static_cast<TokenId>(random() % sample->vocabulary_size()));
      }
      for (const bool skip : {false, true}) {
        DecodeStream stream(*sample, skip);
        std::string streamed;
        for (const TokenId id : ids) {
          const std::string piece = stream.push(id);
          CHECK(find_invalid_utf8(piece) == kValid);
          streamed += piece;
        }
        streamed += stream.flush();
        CHECK(streamed == sample->decode(ids, skip));
      }
    }
  }
}

TEST_CASE("a token is found by its spelling, of the vocabulary or as added") {
  const Sample sample(committed_json("gpt2"));
  CHECK(sample->token_bytes(sample->find("\xc4\xa0the")) == " the");
  CHECK(sample->find(" the") == -1);
  CHECK(sample->is_special(sample->find("<|endoftext|>")));
  CHECK(sample->token_bytes(sample->find("<tab\t>")) == "<tab\t>");
  CHECK(sample->find("no such token") == -1);
  CHECK(sample->find("") == -1);
}

TEST_CASE("ids outside the vocabulary are refused") {
  const Sample sample(sample_json());
  for (const TokenId id : {-1, 265, 1 << 30}) {
    const Error error = error_of([&] { sample->decode(std::vector<TokenId>{id}); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.message().find("outside the vocabulary of 265") != std::string::npos);
    CHECK_THROWS_AS(sample->token_bytes(id), Error);
    CHECK_THROWS_AS(DecodeStream(*sample).push(id), Error);
  }
}

TEST_CASE("ids between tokens decode to nothing") {
  Json json = sample_json();
  json["added_tokens"] = Json::array();
  json["model"]["vocab"]["zz"] = 300;
  const Sample sample(json);
  CHECK(sample->vocabulary_size() == 301);
  CHECK(sample->decode(std::vector<TokenId>{299, 300}) == "zz");
  CHECK(sample->find("") == -1);
}
