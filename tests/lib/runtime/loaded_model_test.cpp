#include "lib/runtime/loaded_model.h"

#include <fstream>

#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

Error load_error(const std::function<void(Json&)>& change) {
  const TempFolder folder;
  TinyModel tiny;
  tiny.change_metadata = change;
  const Error error = error_of([&] { load_tiny(folder, tiny); });
  CHECK(error.message().starts_with(folder.file("tiny.mica") + ": "));
  return Error(error.code(), error.message().substr(folder.file("tiny.mica: ").size()));
}

TEST_CASE("special tokens and generation defaults come from the metadata") {
  const TempFolder folder;
  TinyModel tiny;
  tiny.change_metadata = [](Json& metadata) {
    metadata["special_tokens"] = Json::parse(R"({"bos": 256, "eos": [258, 0], "pad": 1})", "test");
    metadata["generation"] = Json::parse(
        R"({"do_sample": true, "temperature": 0.25, "top_k": 40, "top_p": 0.5, "min_p": 0.125,
            "repetition_penalty": 1.5})",
        "test");
  };
  const auto model = load_tiny(folder, tiny);
  CHECK(model->special_tokens().bos == 256);
  CHECK(model->special_tokens().eos == std::vector<TokenId>{258, 0});
  CHECK(model->special_tokens().pad == 1);
  CHECK(model->special_tokens().unk == -1);
  const SamplerOptions& sampling = model->default_sampling();
  CHECK(sampling.temperature == 0.25f);
  CHECK(sampling.top_k == 40);
  CHECK(sampling.top_p == 0.5f);
  CHECK(sampling.min_p == 0.125f);
  CHECK(sampling.repetition_penalty == 1.5f);
  CHECK(model->load_seconds() > 0);
}

TEST_CASE("do_sample decides between greedy and drawing; without it a temperature does") {
  const auto temperature = [](const char* generation) {
    const TempFolder folder;
    TinyModel tiny;
    tiny.change_metadata = [&](Json& metadata) {
      metadata["generation"] = Json::parse(generation, "test");
    };
    return load_tiny(folder, tiny)->default_sampling().temperature;
  };
  CHECK(temperature("{}") == 0);
  CHECK(temperature(R"({"do_sample": false, "temperature": 0.5})") == 0);
  CHECK(temperature(R"({"do_sample": true})") == 1);
  CHECK(temperature(R"({"temperature": 0.5})") == 0.5f);
}

TEST_CASE("metadata that cannot be right is refused by name") {
  Error error = load_error([](Json& m) { m["special_tokens"]["eos"].push_back(259); });
  CHECK(error.code() == ErrorCode::kInvalidFile);  // of the tokenizer; the model has 272 rows
  CHECK(error.message() == "special_tokens.eos: expected an id below 259, found 259");
  error = load_error([](Json& m) { m["special_tokens"]["bos"] = -1; });
  CHECK(error.message() == "special_tokens.bos: expected an id below 259, found -1");
  error = load_error([](Json& m) { m["generation"]["top_p"] = 3; });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message() == "generation.top_p: expected 0 < top_p <= 1, found 3");
  error = load_error([](Json& m) { m["model"]["architecture"] = "mamba"; });
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(error.message().starts_with("model.architecture: expected '"));
  CHECK(error.message().ends_with(", found 'mamba'"));
  error = load_error([](Json& m) { m["model"] = nullptr; });
  CHECK(error.code() == ErrorCode::kInvalidFile);
}

TEST_CASE("a tokenizer of more tokens than the model has rows is refused") {
  const TempFolder folder;
  const Error error = error_of([&] { load_tiny(folder, {.vocabulary_size = 258}); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(
      error.message().ends_with(": tokenizer: expected at most the model's 258 tokens, found 259"));
}

TEST_CASE("verification names the tensor that is damaged; without it the model loads") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const TensorRecord* record = model->file().find(Role::kFfnUp, 1);
  REQUIRE(record != nullptr);
  const std::string path = folder.file("tiny.mica");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(record->offset));
  const auto byte = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(record->offset));
  file.put(byte);
  file.close();
  CHECK_NOTHROW(LoadedModel::load(make_engine(), path));
  const Error error = error_of([&] { LoadedModel::load(make_engine(), path, {.verify = true}); });
  CHECK(error.code() == ErrorCode::kVerification);
  CHECK(error.message().find("layers.1.ffn.up") != std::string::npos);
}

TEST_CASE("a model read into memory answers as one mapped") {
  const TempFolder folder;
  const auto mapped = load_tiny(folder);
  const auto read =
      LoadedModel::load(make_engine(), folder.file("tiny.mica"), {.mode = LoadMode::kRead});
  CHECK(read->config().layers == mapped->config().layers);
}

TEST_CASE("an ISA that is not known or not here is an error") {
  CHECK(error_of([] { make_engine("sparc"); }).code() == ErrorCode::kUsage);
}

}  // namespace
}  // namespace mica::testing
