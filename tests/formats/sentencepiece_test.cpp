// tokenizer.model files: what they become, and what is refused.
#include "formats/sentencepiece.h"

#include <doctest/doctest.h>
#include <random>

#include "formats/hf_tokens.h"
#include "lib/base/error.h"
#include "lib/base/mapped_file.h"
#include "tests/formats/sentencepiece_samples.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

SentencePieceModel read(const std::string& bytes) {
  return read_sentencepiece_model(as_bytes(bytes), "tokenizer.model");
}

std::string committed_model(const std::string& name) {
  return read_text_file(MICA_SOURCE_ROOT "/tests/data/tokenizers/" + name + ".model", 1 << 20);
}

struct BadModel {
  const char* reason;
  std::string bytes;
  ErrorCode code;
  const char* sentence;  // after "tokenizer.model: "
};

constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile, kUnsupported = ErrorCode::kUnsupported;

std::string with_piece(const std::string& piece) {
  return tiny_sentencepiece() + piece;
}

const BadModel kBadModels[] = {
    {"no bytes", "", kInvalid, "expected pieces, found none"},
    {"text", "{\"model\": {}}", kInvalid,
     "expected a wire type of 0, 1, 2 or 5 in field 15, found 3"},
    {"field number 0", std::string("\0", 1), kInvalid,
     "expected the number of a field at byte 1, found 0"},
    {"a number of 11 bytes", std::string(11, '\xff'), kInvalid,
     "expected a number of 10 bytes at most before byte 10"},
    {"a field longer than the file",
     "\x0a\x7f"
     "abc",
     kInvalid, "expected 127 bytes at offset 2, found only 5 bytes in all"},
    {"a piece without a text", with_piece(bytes_field(1, "")), kInvalid,
     "piece 9: expected a text, found none"},
    {"a piece that is not UTF-8", with_piece(piece_field("\xff")), kInvalid,
     "piece 9: expected UTF-8, found other bytes"},
    {"a score that is no number", with_piece(piece_field("x", 0.0f / 0.0f)), kInvalid,
     "piece 9: expected a score, found "},
    {"a piece type of 7", with_piece(piece_field("x", 0, 7)), kInvalid,
     "piece 9: type: expected 1 to 6, found 7"},
    {"a piece twice", with_piece(piece_field("ab")), kInvalid,
     "expected distinct pieces, found 'ab' twice"},
    {"no unknown piece", piece_field("a"), kInvalid, "expected an unknown piece, found none"},
    {"byte fallback without byte pieces",
     tiny_sentencepiece(number_field(3, 2) + number_field(35, 1)), kInvalid,
     "expected 256 byte pieces for byte_fallback, found 0"},
    {"words", tiny_sentencepiece(number_field(3, 3)), kUnsupported,
     "the model type WORD is not supported"},
    {"characters", tiny_sentencepiece(number_field(3, 4)), kUnsupported,
     "the model type CHAR is not supported"},
    {"another model type", tiny_sentencepiece(number_field(3, 5)), kInvalid,
     "model type: expected 1 to 2, found 5"},
    {"unused pieces", with_piece(piece_field("x", 0, 5)), kUnsupported,
     "a BPE model with unused pieces is not supported"},
    {"spaces behind words", tiny_sentencepiece(number_field(3, 2) + number_field(24, 1)),
     kUnsupported, "treat_whitespace_as_suffix is not supported"},
    {"spaces that stay", tiny_sentencepiece(number_field(3, 2), number_field(5, 0)), kUnsupported,
     "escape_whitespaces of false is not supported"},
    {"a denormalizer", with_piece(bytes_field(5, bytes_field(2, "map"))), kUnsupported,
     "denormalizer_spec is not supported"},
};

using Texts = std::map<std::string, std::string>;

Texts texts_with_model(const std::string& config) {
  return {{"tokenizer.model", tiny_sentencepiece()}, {"tokenizer_config.json", config}};
}

HfTokens read_tokens(const Texts& texts) {
  std::vector<std::string> notes;
  return read_hf_tokens(texts, Json::object(), 12, "tiny", notes);
}

Json tokenizer_of(const Texts& texts) {
  return read_tokens(texts).tokenizer_json;
}

}  // namespace

TEST_CASE("a BPE model becomes scores, its symbols added tokens") {
  const SentencePieceModel model = read(tiny_sentencepiece());
  const Json& json = model.tokenizer_json;
  CHECK(json["model"]["vocab"].as_object().size() == 9);
  CHECK(json["model"]["scores"].dump() == "[null,null,null,null,-1.0,-2.0,-3.0,-4.0,-5.0]");
  CHECK(json["model"]["unk_token"] == Json("<unk>"));
  CHECK(json["model"]["byte_fallback"] == Json(false));
  REQUIRE(json["added_tokens"].as_array().size() == 4);
  const Json& user_defined = json["added_tokens"].as_array()[3];
  CHECK(user_defined["content"] == Json("<u>"));
  CHECK(user_defined["normalized"] == Json(true));
  CHECK(user_defined["special"] == Json(false));
  CHECK(json["added_tokens"].as_array()[1]["special"] == Json(true));
  CHECK(json["normalizer"].dump() ==
        R"({"type":"SentencePiece","add_dummy_prefix":true,"remove_extra_whitespaces":true,)"
        R"("precompiled_charsmap":""})");
  CHECK(model.bos == 1);
  CHECK(model.eos == 2);
  CHECK(model.unk == 0);
  CHECK(model.pad == -1);
}

TEST_CASE("ids of the trainer may say that there is no token") {
  const SentencePieceModel model =
      read(tiny_sentencepiece(number_field(3, 2) + number_field(41, ~uint64_t{0}) +
                              number_field(42, 99) + number_field(43, 3)));
  CHECK(model.bos == -1);
  CHECK(model.eos == -1);
  CHECK(model.pad == 3);
}

TEST_CASE("models that SentencePiece trained are read") {
  CHECK(read(committed_model("llama2")).tokenizer_json["model"]["byte_fallback"] == Json(true));
  const Json t5 = read(committed_model("t5")).tokenizer_json;
  CHECK(t5["model"]["type"] == Json("Unigram"));
  CHECK(t5["normalizer"]["precompiled_charsmap"].as_string().size() > 1000);
}

TEST_CASE("a model that is not one is refused for its reason") {
  for (const BadModel& bad : kBadModels) {
    CAPTURE(bad.reason);
    const Error error = error_of([&] { read(bad.bytes); });
    CHECK(error.code() == bad.code);
    CHECK_MESSAGE(error.message().starts_with("tokenizer.model: " + std::string(bad.sentence)),
                  error.message());
  }
}

TEST_CASE("a cut or damaged model is read or refused, never more") {
  for (const std::string& whole : {tiny_sentencepiece(), committed_model("t5")}) {
    for (size_t size = 0; size<whole.size(); size += whole.size()> 1000 ? 37 : 1) {
      try {
        read(whole.substr(0, size));
      } catch (const Error&) {
      }
    }
    std::mt19937 random(1);
    for (int round = 0; round < 400; ++round) {
      std::string damaged = whole;
      for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] ^= 1 << random() % 8;
      try {
        read(damaged);
      } catch (const Error&) {
      }
    }
  }
}

TEST_CASE("a folder with tokenizer.model alone has the tokenizer of its class") {
  Json json = tokenizer_of(texts_with_model(R"({"tokenizer_class": "LlamaTokenizer"})"));
  CHECK(json["post_processor"]["single"].dump() ==
        R"([{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}])");
  json = tokenizer_of(texts_with_model(R"({"tokenizer_class": "T5TokenizerFast"})"));
  CHECK(json["post_processor"]["single"].dump() ==
        R"([{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}])");
  json = tokenizer_of(texts_with_model(R"({"add_bos_token": false})"));
  CHECK(json["post_processor"].is_null());
}

TEST_CASE("special tokens are named by their spelling in tokenizer.model") {
  const Texts texts = texts_with_model(R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  CHECK(read_tokens(texts).special_tokens.dump() == R"({"bos":1,"eos":[2]})");
  Texts unigram = texts;
  unigram["tokenizer.model"] = tiny_sentencepiece(number_field(3, 1));
  CHECK(read_tokens(unigram).special_tokens.dump() == R"({"bos":1,"eos":[2]})");
  Texts large = texts;
  large["tokenizer.model"] += piece_field("c") + piece_field("d") + piece_field("e");
  CHECK_NOTHROW(read_tokens(large));
  large["tokenizer.model"] += piece_field("f");
  CHECK(error_of([&] { read_tokens(large); }).message() ==
        "tiny/tokenizer.model: expected a token below the vocabulary size of 12, found 12");
}

TEST_CASE("tokenizer.json counts where both are there") {
  Texts texts = texts_with_model("{}");
  texts["tokenizer.json"] = R"({"model": {"vocab": {"x": 0}}})";
  CHECK(tokenizer_of(texts)["model"]["vocab"].dump() == R"({"x":0})");
}

TEST_CASE("tokens are added to those of tokenizer.model") {
  auto texts = texts_with_model(
      R"({"added_tokens_decoder": {"1": {"content": "<s>", "special": true, "rstrip": true},
                                   "10": {"content": "<b>", "special": false},
                                   "9": {"content": "<a>", "special": true}}})");
  texts["added_tokens.json"] = R"({"<c>": 11, "<a>": 9})";
  const Json json = tokenizer_of(texts);
  std::string added;
  for (const Json& token : json["added_tokens"].as_array()) {
    added += token["content"].as_string() + (token["special"].as_bool() ? "!" : "") + " ";
  }
  CHECK(added == "<unk>! <s>! </s>! <u> <a>! <b> <c> ");
  CHECK(json["added_tokens"].as_array()[1]["rstrip"] == Json(true));
}

TEST_CASE("a folder whose tokenizer is not that of its model is refused") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"tokenizer_class": "XLMRobertaTokenizer"})",
       "tokenizer_class: 'XLMRobertaTokenizer' is not supported with tokenizer.model alone"},
      {R"({"added_tokens_decoder": {"4": {"content": "<x>"}}})",
       "added_tokens_decoder: token 4 is '<x>' there and 'ab' in tokenizer.model"},
      {R"({"added_tokens_decoder": {"x": {"content": "<x>"}}})",
       "added_tokens_decoder: expected the number of a token, found 'x'"},
      {R"({"added_tokens_decoder": {"9": []}})", "added_tokens_decoder: expected object"},
      {R"({"add_bos_token": 1})", "add_bos_token: expected boolean"},
  };
  for (const auto& [given, sentence] : cases) {
    const std::string config = given;
    CAPTURE(config);
    const Error error = error_of([&] { tokenizer_of(texts_with_model(config)); });
    CHECK_MESSAGE(error.message().find(sentence) != std::string::npos, error.message());
  }
}
