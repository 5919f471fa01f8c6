// Which tokenizer.json files become an image, and why others do not.
#include <doctest/doctest.h>
#include <functional>

#include "lib/text/tokenizer_image.h"
#include "tests/lib/text/tokenizer_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

struct Refusal {
  const char* where;  // member of the file that is replaced
  const char* json;   // by this
  ErrorCode code;
  const char* message;
};

constexpr ErrorCode kUnsupported = ErrorCode::kUnsupported;
constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;

const Refusal kRefusals[] = {
    {"model", R"({"type": "WordPiece", "vocab": {}})", kUnsupported,
     "the tokenizer model 'WordPiece' is not supported, expected BPE or Unigram"},
    {"model", R"({"type": "Unigram", "vocab": []})", kUnsupported,
     "a Unigram model with the pre-tokenizer 'ByteLevel' is not supported"},
    {"model", R"({"vocab": {}})", kUnsupported, "the tokenizer model ''"},
    {"model", "[]", kInvalid, "model: expected object, found array"},
    {"normalizer", R"({"type": "Lowercase"})", kUnsupported,
     "the normalizer 'Lowercase' (normalizer) is not supported"},
    {"normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]})",
     kUnsupported, "the normalizer 'NFKC' (normalizer.normalizers[1]) is not supported"},
    {"normalizer",
     R"({"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers":
         [{"type": "BertNormalizer"}]}]})",
     kUnsupported, "'BertNormalizer' (normalizer.normalizers[0].normalizers[0])"},
    {"normalizer", R"({"kind": "NFC"})", kInvalid, "normalizer type: expected string"},
    {"normalizer", R"({"type": "Prepend"})", kInvalid, "normalizer prepend: expected string"},
    {"normalizer", R"({"type": "Replace", "pattern": {"String": ""}, "content": "x"})",
     kUnsupported, "an empty pattern"},
    {"normalizer", R"({"type": "Replace", "pattern": {"Regex": "a\\b"}, "content": "x"})",
     kUnsupported, "the split pattern 'a\\b'"},
    {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "!"})", kInvalid,
     "normalizer: expected a precompiled_charsmap in base64"},
    {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AAA="})", kInvalid,
     "precompiled charsmap"},
    {"normalizer", R"({"type": "Precompiled", "precompiled_charsmap": "AwAAAAAA"})", kInvalid,
     "expected a trie of whole units, found 3 bytes"},
    {"pre_tokenizer", "null", kUnsupported, "without the pre-tokenizer 'ByteLevel'"},
    {"pre_tokenizer", R"({"type": "BertPreTokenizer"})", kUnsupported,
     "the pre-tokenizer 'BertPreTokenizer' (pre_tokenizer) is not supported"},
    {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "__"})", kInvalid,
     "pre_tokenizer: replacement: expected one character, found '__'"},
    {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
     kUnsupported, "the prepend_scheme 'last'"},
    {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "_"})", kUnsupported,
     "without the pre-tokenizer 'ByteLevel'"},
    {"pre_tokenizer", R"({"type": "Digits"})", kUnsupported,
     "without the pre-tokenizer 'ByteLevel'"},
    {"pre_tokenizer",
     R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})",
     kUnsupported, "'Digits' (pre_tokenizer.pretokenizers[1]): a step after 'ByteLevel'"},
    {"decoder", "null", kUnsupported, "without the decoder 'ByteLevel'"},
    {"decoder", R"({"type": "WordPiece"})", kUnsupported,
     "the decoder 'WordPiece' (decoder) is not supported"},
    {"decoder", R"({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""})", kUnsupported,
     "the decoder 'Replace' (decoder): a 'Regex'"},
    {"decoder", R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})", kUnsupported,
     "a place that is not behind 'Fuse'"},
    {"decoder", R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "ByteFallback"}]})",
     kUnsupported, "'ByteFallback' (decoder.decoders[1]): this place in the sequence"},
    {"decoder",
     R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
         {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})",
     kUnsupported, "a 'stop' other than 0"},
    {"post_processor", R"({"type": "BertProcessing"})", kUnsupported,
     "the post-processor 'BertProcessing'"},
    {"post_processor", R"({"type": "TemplateProcessing", "single": []})", kUnsupported,
     "without the text"},
    {"post_processor",
     R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}]})",
     kUnsupported, "not one 'A'"},
    {"post_processor",
     R"({"type": "TemplateProcessing", "special_tokens": {"x": {"ids": [265]}},
         "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}]})",
     kInvalid, "TemplateProcessing id"},
    {"post_processor",
     R"({"type": "TemplateProcessing", "special_tokens": {"x": {"ids": [-1]}},
         "single": [{"SpecialToken": {"id": "x"}}, {"Sequence": {"id": "A"}}]})",
     kInvalid, "TemplateProcessing id"},
    {"added_tokens", R"([{"id": 300, "content": "<s>"}])", kInvalid,
     "added token '<s>' has id 300, but in its place tokenizers gives it id 263"},
    {"added_tokens", R"([{"id": 0, "content": "<s>"}])", kInvalid, "gives it id 263"},
    {"added_tokens", R"([{"id": "0", "content": "<s>"}])", kInvalid, "expected integer"},
    {"added_tokens", R"([{"id": 263, "content": "<s>", "lstrip": 1}])", kInvalid, "lstrip"},
    {"added_tokens", "{}", kInvalid, "added_tokens: expected array, found object"},
};

const Refusal kModelRefusals[] = {
    {"dropout", "0.1", kUnsupported, "'dropout'"},
    {"byte_fallback", "true", kUnsupported, "'byte_fallback' is not supported with"},
    {"continuing_subword_prefix", "\"##\"", kUnsupported, "'continuing_subword_prefix'"},
    {"end_of_word_suffix", "\"</w>\"", kUnsupported, "'end_of_word_suffix'"},
    {"vocab", "{}", kInvalid, "the vocabulary is empty"},
    {"vocab", "[]", kInvalid, "vocab: expected object, found array"},
    {"vocab", R"({"a": 0, "b": 0})", kInvalid, "id 0 belongs to token 'b' and to another"},
    {"vocab", R"({"a": -1})", kInvalid, "token 'a' of 1 has id -1"},
    {"vocab", R"({"a": 4294967296})", kInvalid, "has id 4294967296, expected less than 65552"},
    {"vocab", R"({"a": 0.5})", kInvalid, "id of token 'a': expected integer"},
    {"merges", R"(["t h e"])", kInvalid, "merge 't h e' is not two tokens"},
    {"merges", R"(["th"])", kInvalid, "merge 'th' is not two tokens"},
    {"merges", R"([["t", "h", "e"]])", kInvalid, "a merge has 3 tokens, expected 2"},
    {"merges", R"(["q q"])", kInvalid, "a merge names token 'qq', which the vocabulary lacks"},
    {"merges", "null", kInvalid, "merges: expected array, found null"},
};

// Parts of a unigram model that are not right.
const Refusal kUnigramRefusals[] = {
    {"vocab", "{}", kInvalid, "model vocab: expected array, found object"},
    {"vocab", "[]", kInvalid, "the vocabulary is empty"},
    {"vocab", R"([["a"]])", kInvalid, "an entry has 1 parts, not 2"},
    {"vocab", R"([["a", "b"]])", kInvalid, "expected number, found string"},
    {"vocab", R"([["", 0]])", kInvalid, "token 0 is empty"},
    {"vocab", R"([["a", 0], ["b", 0], ["a", 0]])", kInvalid,
     "token 'a' is there twice, the second time with id 2"},
    {"vocab", R"([["a\u0000", 0], ["b", 0], ["c", 0]])", kUnsupported, "a zero character in token"},
    {"unk_id", "null", kUnsupported, "a unigram model without 'unk_id' is not supported"},
    {"unk_id", "-1", kInvalid, "model unk_id"},
    {"unk_id", "100000", kInvalid, "model unk_id"},
    {"byte_fallback", "1", kInvalid, "model byte_fallback: expected boolean"},
};

const Refusal kScoreRefusals[] = {
    {"scores", "[]", kInvalid, "model scores: expected one for each of 1100 tokens, found 0"},
    {"scores", "{}", kInvalid, "model scores: expected array"},
    {"unk_token", "\"?!?\"", kInvalid, "unk_token '?!?' is not in the vocabulary"},
};

void check_refused(const Json& json, const Refusal& refusal) {
  const Error error = error_of([&] { build_tokenizer_image(json, "tokenizer.json"); });
  CHECK(error.code() == refusal.code);
  CHECK(error.message().starts_with("tokenizer.json: "));
  CHECK_MESSAGE(error.message().find(refusal.message) != std::string::npos, error.message());
}

}  // namespace

TEST_CASE("what is not known or cannot be right is refused by name") {
  for (const Refusal& refusal : kRefusals) {
    CAPTURE(refusal.json);
    Json json = sample_json();
    json[refusal.where] = Json::parse(refusal.json, "");
    check_refused(json, refusal);
  }
  for (const Refusal& refusal : kModelRefusals) {
    CAPTURE(refusal.json);
    Json json = sample_json();
    json["model"][refusal.where] = Json::parse(refusal.json, "");
    check_refused(json, refusal);
  }
  for (const Refusal& refusal : kUnigramRefusals) {
    CAPTURE(refusal.json);
    Json json = committed_json("t5");
    json["added_tokens"] = Json::array();
    json["post_processor"] = Json();
    json["model"][refusal.where] = Json::parse(refusal.json, "");
    check_refused(json, refusal);
  }
  for (const Refusal& refusal : kScoreRefusals) {
    CAPTURE(refusal.json);
    Json json = committed_json("llama2");
    json["model"][refusal.where] = Json::parse(refusal.json, "");
    check_refused(json, refusal);
  }
}

TEST_CASE("a model without a tokenizer is refused with the files that could hold one") {
  CHECK(
      error_of([&] { build_tokenizer_image(Json(), "model"); }).message() ==
      "model: expected a tokenizer (tokenizer.json, tokenizer.model, or a GGUF file's own), found "
      "none");
}

TEST_CASE("a decoder is needed, since what stands between tokens is its matter") {
  for (const char* name : {"llama2", "t5"}) {
    Json json = committed_json(name);
    json["decoder"] = Json();
    CHECK(error_of([&] { build_tokenizer_image(json, "t"); })
              .message()
              .find("model without a decoder is not supported") != std::string::npos);
  }
}

TEST_CASE("an unknown token matters only where a byte has no token") {
  Json json = sample_json();
  json["model"]["unk_token"] = "[UNK]";
  CHECK_NOTHROW(build_tokenizer_image(json, ""));
  json["model"]["vocab"] = Json::parse(R"({"a": 0})", "");
  json["model"]["merges"] = Json::array();
  json["added_tokens"] = Json::array();
  CHECK(error_of([&] { build_tokenizer_image(json, ""); }).message() ==
        ": unk_token '[UNK]' is not in the vocabulary");
}

TEST_CASE("two added tokens that look alike after normalization are refused") {
  Json json = sample_json();
  json["normalizer"] = Json::object({{"type", "NFC"}});
  for (const char* content : {"g\xcc\x81", "\xc7\xb5"}) {
    Json token =
        added_token(263 + static_cast<int>(json["added_tokens"].as_array().size()), content);
    token["normalized"] = true;
    json["added_tokens"].push_back(std::move(token));
  }
  CHECK(error_of([&] { build_tokenizer_image(json, "t"); }).message() ==
        "t: added tokens 265 and 266 are both spelled '\xc7\xb5'");
}

TEST_CASE("a split pattern that cannot be run as Hugging Face runs it is refused at once") {
  for (const char* pattern : {R"(\w+)", "[a&&b]", "(?<=a+)b", "(", "[z-a]"}) {
    Json json = sample_json();
    json["pre_tokenizer"] = split_json("Regex", pattern, "Isolated");
    const Error error = error_of([&] { build_tokenizer_image(json, "tokenizer.json"); });
    CHECK(error.code() == ErrorCode::kUnsupported);
    CHECK(error.message().find(pattern) != std::string::npos);
  }
  Json json = sample_json();
  json["pre_tokenizer"] = split_json("String", "", "Isolated");
  CHECK_THROWS_AS(build_tokenizer_image(json, ""), Error);
  json["pre_tokenizer"] = split_json("String", " ", "Sideways");
  CHECK_THROWS_AS(build_tokenizer_image(json, ""), Error);
}

TEST_CASE("the same file gives the same bytes") {
  for (const char* name : {"gpt2", "llama3", "qwen2", "smollm", "llama2", "gemma", "t5"}) {
    CHECK(build_tokenizer_image(committed_json(name), "a") ==
          build_tokenizer_image(committed_json(name), "b"));
  }
}
