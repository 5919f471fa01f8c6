// GGUF files that are as they should be.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "lib/base/half.h"
#include "tests/formats/gguf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using namespace mica::testing;

TEST_CASE("the keys of a GGUF file become the model's configuration") {
  const std::string bytes = tiny_gguf({.layers = 2}).bytes();
  const auto importer = import_gguf_bytes(bytes);
  const ImportedModel& model = importer->model();
  CHECK(model.kind == "gguf");
  CHECK(model.name == "tiny.gguf");
  CHECK(
      model.config.dump() ==
      R"({"architecture":"llama","name":"Tiny","layers":2,"hidden_size":4,"feed_forward_size":4,)"
      R"("heads":2,"kv_heads":1,"head_size":2,"vocabulary_size":4,"context_length":64,)"
      R"("norm_epsilon":1e-05,"activation":"silu","rope":{"base":10000.0,"size":2,"scaling":"none"},)"
      R"("tied_embeddings":true})");
  CHECK(model.special_tokens.dump() == R"({"bos":3,"eos":[3]})");
  CHECK(model.generation.dump() == "{}");
  CHECK(model.chat_template.empty());
  CHECK(model.notes.empty());
  CHECK(model.tensors.size() == 2 + 2 * 9);
  CHECK(importer->source_bytes() == bytes.size());
  CHECK(importer->hash({}) == hash128(as_bytes(bytes)));
}

TEST_CASE("keys of the architecture that are not known are told of, harmless ones are not") {
  GgufSample sample = tiny_gguf();
  sample.set("llama.vocab_size", 4u);
  sample.set("llama.pooling_type", 0u);
  sample.set("llama.my_own_key", 3u);
  sample.set("general.my_own_key", 3u);
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  REQUIRE(importer->model().notes.size() == 1);
  CHECK(importer->model().notes[0] == "key 'llama.my_own_key': not known here and not used");
}

TEST_CASE("version 2 is read like version 3") {
  GgufSample sample = tiny_gguf();
  const std::string three = sample.bytes();
  sample.version = 2;
  const std::string two = sample.bytes();
  CHECK(import_gguf_bytes(two)->model().config == import_gguf_bytes(three)->model().config);
}

TEST_CASE("names, templates, sampling and separate heads are taken over") {
  GgufSample sample = tiny_gguf({.tied = false});
  sample.remove("general.name");
  sample.set("tokenizer.chat_template", "{{ messages }}");
  sample.set("tokenizer.ggml.eot_token_id", 2u);
  sample.set("tokenizer.ggml.padding_token_id", 0u);
  sample.set("tokenizer.ggml.unknown_token_id", 1u);
  sample.set("general.sampling.temp", 0.7f);
  sample.set("general.sampling.top_k", 40u);
  sample.set("general.sampling.top_p", 0.95f);
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  const ImportedModel& model = importer->model();
  CHECK(model.config["name"] == Json("tiny"));
  CHECK(model.config["tied_embeddings"] == Json(false));
  CHECK(model.chat_template == "{{ messages }}");
  CHECK(model.chat_template_source == "gguf tokenizer.chat_template");
  CHECK(model.special_tokens.dump() == R"({"bos":3,"eos":[3,2],"pad":0,"unk":1})");
  CHECK(model.generation.dump() ==
        R"({"do_sample":true,"temperature":0.7,"top_k":40,"top_p":0.95})");
}

TEST_CASE("a temperature of zero means greedy") {
  GgufSample sample = tiny_gguf();
  sample.set("general.sampling.temp", 0.0f);
  const std::string bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().generation.dump() == R"({"do_sample":false})");
}

TEST_CASE("the tokenizer becomes a tokenizer.json") {
  const std::string bytes = tiny_gguf().bytes();
  const Json tokenizer = import_gguf_bytes(bytes)->model().tokenizer_json;
  CHECK(tokenizer["model"]["type"] == Json("BPE"));
  CHECK(tokenizer["model"]["vocab"].dump() == R"({"a":0,"b":1,"ab":2,"<s>":3})");
  CHECK(tokenizer["model"]["merges"].dump() == R"(["a b"])");
  CHECK(tokenizer["model"]["ignore_merges"] == Json(false));
  CHECK(tokenizer["added_tokens"].dump() ==
        R"([{"id":3,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,)"
        R"("normalized":false,"special":true}])");
  CHECK(tokenizer["normalizer"].is_null());
  CHECK(tokenizer["post_processor"].is_null());
  CHECK(tokenizer["pre_tokenizer"].dump() ==
        R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},)"
        R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]})");
}

TEST_CASE("pre-tokenizers differ in pattern, normalization, merges and added tokens") {
  GgufSample sample = tiny_gguf();
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({1, 1, 4, 3}));
  sample.set("tokenizer.ggml.pre", "llama-bpe");
  std::string bytes = sample.bytes();
  Json tokenizer = import_gguf_bytes(bytes)->model().tokenizer_json;
  CHECK(tokenizer["model"]["ignore_merges"] == Json(true));
  CHECK(tokenizer["post_processor"]["single"].dump() ==
        R"([{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}])");
  CHECK(tokenizer["post_processor"]["special_tokens"].dump() ==
        R"({"<s>":{"id":"<s>","ids":[3],"tokens":["<s>"]}})");
  CHECK(tokenizer["added_tokens"].as_array().size() == 2);
  CHECK(tokenizer["added_tokens"].as_array()[0]["special"] == Json(false));
  const std::string pattern =
      tokenizer["pre_tokenizer"]["pretokenizers"].as_array()[0]["pattern"]["Regex"].as_string();
  CHECK(pattern.find("\\p{N}{1,3}") != pattern.npos);

  sample.set("tokenizer.ggml.add_bos_token", false);
  bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().tokenizer_json["post_processor"].is_null());

  sample.set("tokenizer.ggml.pre", "qwen2");
  bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().tokenizer_json["normalizer"]["type"] == Json("NFC"));
}

TEST_CASE("a SentencePiece vocabulary becomes scores, with a space before every part") {
  GgufSample sample = tiny_gguf();
  sample.set("tokenizer.ggml.model", "llama");
  sample.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({-2, -3, -1, 0}));
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({2, 1, 4, 3}));
  std::string bytes = sample.bytes();
  Json json = import_gguf_bytes(bytes)->model().tokenizer_json;
  CHECK(json["model"]["scores"].dump() == "[null,-3.0,null,null]");
  CHECK(json["model"]["unk_token"] == Json("a"));
  CHECK(json["model"]["byte_fallback"] == Json(false));
  CHECK(json["normalizer"]["normalizers"].as_array().size() == 2);
  CHECK(json["post_processor"]["single"].as_array().size() == 2);  // BOS unless the file says no
  CHECK(json["added_tokens"].as_array().size() == 3);
  sample.set("tokenizer.ggml.add_space_prefix", false);
  sample.set("tokenizer.ggml.add_bos_token", false);
  bytes = sample.bytes();
  json = import_gguf_bytes(bytes)->model().tokenizer_json;
  CHECK(json["normalizer"]["normalizers"].dump() ==
        R"([{"type":"Replace","pattern":{"String":" "},"content":"▁"}])");
  CHECK(json["post_processor"].is_null());
}

TEST_CASE("a unigram vocabulary has SentencePiece's normalizer") {
  GgufSample sample = tiny_gguf();
  sample.set("tokenizer.ggml.model", "t5");
  sample.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({-2, -3, -1, 0}));
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({1, 1, 6, 3}));
  sample.set("tokenizer.ggml.unknown_token_id", 1u);
  sample.set("tokenizer.ggml.remove_extra_whitespaces", true);
  sample.set("tokenizer.ggml.precompiled_charsmap", kGgufArray,
             raw(kGgufUint8) + raw(uint64_t{3}) + "map");
  const std::string bytes = sample.bytes();
  const Json json = import_gguf_bytes(bytes)->model().tokenizer_json;
  CHECK(json["model"]["vocab"].dump() == R"([["a",-2.0],["b",null],["ab",null],["<s>",null]])");
  CHECK(json["model"]["unk_id"] == Json(1));
  CHECK(json["model"]["byte_fallback"] == Json(true));
  CHECK(json["normalizer"].dump() ==
        R"({"type":"SentencePiece","add_dummy_prefix":false,"remove_extra_whitespaces":true,)"
        R"("precompiled_charsmap":"bWFw"})");
  CHECK(json["post_processor"]["single"].as_array().size() == 2);  // EOS unless the file says no
}

TEST_CASE("a file without a pre-tokenizer's name says so") {
  GgufSample sample = tiny_gguf();
  sample.remove("tokenizer.ggml.pre");
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  REQUIRE(importer->model().notes.size() == 1);
  CHECK(importer->model().notes[0] ==
        "the file names no pre-tokenizer (tokenizer.ggml.pre): 'default' is used");
}

TEST_CASE("a file without a tokenizer has none") {
  GgufSample sample = tiny_gguf();
  sample.remove("tokenizer.ggml.model");
  const std::string bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().tokenizer_json.is_null());
}

TEST_CASE("rotary scaling is linear or a list of factors") {
  GgufSample sample = tiny_gguf();
  sample.set("llama.rope.scaling.type", "linear");
  sample.set("llama.rope.scaling.factor", 4.0f);
  std::string bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().config["rope"].dump() ==
        R"({"base":10000.0,"size":2,"scaling":"linear","factor":4.0})");

  sample = tiny_gguf();
  sample.tensors.push_back({"rope_freqs.weight", {1}, kTensorF32, raw(8.0f), {}, {}});
  bytes = sample.bytes();
  CHECK(import_gguf_bytes(bytes)->model().config["rope"].dump() ==
        R"({"base":10000.0,"size":2,"scaling":"factors","factors":[8.0]})");
}

TEST_CASE("query and key rows of Llama files go back to the order of Hugging Face") {
  // Heads of 4 rows: the file has rows 0 2 1 3 of each head, so that rotated pairs are neighbours.
  const std::string bytes = tiny_gguf({.hidden_size = 8}).bytes();
  const auto importer = import_gguf_bytes(bytes);
  const float first = read_floats(*importer, Role::kAttnNorm, 0)[0] + 8;  // q follows the norm
  const std::vector<float> q = read_floats(*importer, Role::kAttnQ, 0);
  const int expected[] = {0, 2, 1, 3, 4, 6, 5, 7};
  for (int row = 0; row < 8; ++row) CHECK(q[row * 8] == first + expected[row] * 8);
  const std::vector<float> v = read_floats(*importer, Role::kAttnV, 0);
  for (int row = 0; row < 4; ++row) CHECK(v[row * 8] == v[0] + row * 8);
}

TEST_CASE("Qwen2 files have their rows in order and biases") {
  const std::string bytes = tiny_gguf({.architecture = "qwen2", .hidden_size = 8}).bytes();
  const auto importer = import_gguf_bytes(bytes);
  CHECK(importer->model().config["architecture"] == Json("qwen2"));
  const std::vector<float> q = read_floats(*importer, Role::kAttnQ, 0);
  for (int row = 0; row < 8; ++row) CHECK(q[row * 8] == q[0] + row * 8);
  const std::vector<float> bias = read_floats(*importer, Role::kAttnQBias, 0);
  for (int i = 0; i < 8; ++i) CHECK(bias[i] == bias[0] + i);
}

TEST_CASE("biases of Llama files are put in order like the rows") {
  GgufSample sample = tiny_gguf({.hidden_size = 8});
  std::string values;
  for (int i = 0; i < 8; ++i) values += raw(static_cast<float>(i));
  sample.tensors.push_back({"blk.0.attn_q.bias", {8}, kTensorF32, values, {}, {}});
  for (const char* name : {"blk.0.attn_k.bias", "blk.0.attn_v.bias"}) {
    sample.tensors.push_back({name, {4}, kTensorF32, values.substr(0, 16), {}, {}});
  }
  const std::string bytes = sample.bytes();
  CHECK(read_floats(*import_gguf_bytes(bytes), Role::kAttnQBias, 0) ==
        std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7});
}

TEST_CASE("rows read in pieces are the rows read at once, as floats and on the grid") {
  for (const uint32_t type : {kTensorF16, kTensorQ4_0, kTensorQ4_1, kTensorQ8_0}) {
    const std::string bytes = tiny_gguf({.matrix_type = type, .hidden_size = 64}).bytes();
    const auto importer = import_gguf_bytes(bytes);
    const size_t index = find_tensor(*importer, Role::kAttnQ, 0);
    const SourceTensor& tensor = importer->model().tensors[index];
    CHECK(tensor.is_float() == (type == kTensorF16));
    const std::vector<float> whole = read_floats(*importer, Role::kAttnQ, 0);
    GridRows grid;
    for (int64_t row = 0; row < tensor.rows; ++row) {
      std::vector<float> values(64);
      importer->read_floats(index, row, 1, values.data());
      CHECK(std::equal(values.begin(), values.end(), whole.begin() + row * 64));
      if (tensor.is_float()) continue;
      importer->read_grid(index, row, 1, grid);
      REQUIRE(grid.codes.size() == 64);
      for (int k = 0; k < 64; ++k) {
        const float minimum = grid.kind.has_minimum ? grid.minimums[k / 32] : 0;
        CHECK(grid.scales[k / 32] * float(grid.codes[k] - grid.kind.bias) + minimum == values[k]);
      }
    }
  }
}

TEST_CASE("rows that are not there and grids of floats are refused") {
  const std::string bytes = tiny_gguf().bytes();
  const auto importer = import_gguf_bytes(bytes);
  float values[64];
  GridRows grid;
  CHECK(error_of([&] { importer->read_floats(0, 3, 2, values); }).message() ==
        "tensor 'token_embd.weight': expected rows within 4, found 2 rows from row 3 on");
  CHECK(error_of([&] { importer->read_grid(0, 0, 1, grid); }).message() ==
        "tensor 'token_embd.weight' of type F32 is not read on a grid");
}

TEST_CASE("a split set is opened from any of its parts") {
  GgufSample first = tiny_gguf({.layers = 2});
  const std::string whole = first.bytes();
  GgufSample second;
  second.tensors.assign(first.tensors.begin() + 7, first.tensors.end());
  first.tensors.resize(7);
  const TempFolder folder;
  const auto write = [&](GgufSample sample, uint32_t number) {
    sample.set("split.no", kGgufUint8, raw(static_cast<uint8_t>(number)));
    sample.set("split.count", 2u);
    sample.set("split.tensors.count", 20u);
    return folder.put("tiny-0000" + std::to_string(number + 1) + "-of-00002.gguf", sample.bytes());
  };
  const std::string paths[] = {write(first, 0), write(second, 1)};
  const auto reference = import_gguf_bytes(whole);
  for (const std::string& path : paths) {
    const auto importer = open_source(path, {});
    CHECK(importer->model().tensors.size() == 20);
    CHECK(importer->model().name == "tiny-00001-of-00002.gguf");
    CHECK(read_floats(*importer, Role::kFfnDown, 1) == read_floats(*reference, Role::kFfnDown, 1));
    CHECK(importer->source_bytes() == folder.get("tiny-00001-of-00002.gguf").size() +
                                          folder.get("tiny-00002-of-00002.gguf").size());
  }

  std::filesystem::remove(paths[1]);
  CHECK(error_of([&] { open_source(paths[0], {}); }).message() ==
        paths[1] + ": cannot open: No such file or directory");
  const std::string renamed = folder.file("renamed.gguf");
  std::filesystem::rename(paths[0], renamed);
  CHECK(error_of([&] { open_source(renamed, {}); }).message() ==
        renamed +
            ": expected a name that ends in '-00001-of-00002.gguf', since the file is part 1 of 2");
}

TEST_CASE("hashing can be stopped") {
  const std::string bytes = tiny_gguf().bytes();
  const auto importer = import_gguf_bytes(bytes);
  CHECK(error_of([&] { importer->hash([](uint64_t, uint64_t) { return false; }); }).code() ==
        ErrorCode::kInterrupted);
}

TEST_CASE("a file cut while it is open gives an error") {
  const TempFolder folder;
  const std::string path = folder.put("tiny.gguf", tiny_gguf({.hidden_size = 64}).bytes());
  const auto importer = open_source(path, {});
  std::filesystem::resize_file(path, 4096);
  CHECK(error_of([&] { read_everything(*importer); }).code() == ErrorCode::kRuntime);
}
