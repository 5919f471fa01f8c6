// Writer and reader together: what was written is read, in the order and at the places of
// FORMAT.md.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "formats/reader.h"
#include "tests/formats/mica_samples.h"
#include "tests/support/error_of.h"
#include "tests/support/failing_new.h"

namespace mica::testing {
namespace {

std::string message_of(auto action) {
  return error_of(action).message();
}

TEST_CASE("a written model is read back, mapped or not") {
  const TempFolder folder;
  const std::string path = folder.file("tiny.mica");
  write_model(path, tiny_model_specs(), tiny_model_metadata());
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    const MicaFile file = MicaFile::open(path, mode);
    CHECK(file.version() == 1);
    CHECK(file.tensors().size() == 9);
    CHECK(as_text(file.tokenizer_image()) == "tokenizer");
    CHECK(file.metadata()["model"]["layers"].as_integer() == 2);
    CHECK(file.find_damage({}).empty());
    file.check();

    const TensorRecord* q = file.find(Role::kAttnQ, 1);
    REQUIRE(q != nullptr);
    CHECK(q->name == "layers.1.attn.q");
    CHECK(q->dtype == kQ4g32);
    CHECK(q->rows == 20);
    CHECK(q->padded_rows == 32);
    CHECK(q->cols == 32);
    CHECK(q->slab_stride == 16 * 32 / 2 + 16 * 2 + 16 + 16);  // codes, scales, zeros, up to 64
    CHECK(q->bytes == 2 * q->slab_stride);
    CHECK(q->relative_error == 0.25f);
    CHECK(file.find(Role::kHead, kNoLayer) == nullptr);
    CHECK(file.find(Role::kAttnQ, 2) == nullptr);
    CHECK(file.find(Role::kAttnQ, 1, 0) == nullptr);
  }
}

TEST_CASE("tensors lie in the order of execution, one segment a layer") {
  const TempFolder folder;
  const std::string path = folder.file("tiny.mica");
  write_model(path, tiny_model_specs(), tiny_model_metadata());
  const MicaFile file = MicaFile::open(path);

  const std::vector<std::string> expected = {
      "embedding",          "layers.0.attn.norm", "layers.0.attn.q",      "layers.0.ffn.down",
      "layers.1.attn.norm", "layers.1.attn.q",    "layers.1.attn.q_bias", "layers.1.ffn.down",
      "output_norm"};
  std::vector<const TensorRecord*> by_offset;
  for (const TensorRecord& tensor : file.tensors()) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(),
            [](auto* a, auto* b) { return a->offset < b->offset; });
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(by_offset[i]->name == expected[i]);
    CHECK(by_offset[i]->offset % 256 == 0);
    CHECK(as_text(file.data(*by_offset[i])) == tensor_content(i, by_offset[i]->bytes));
  }

  REQUIRE(file.segments().size() == 4);
  const int layers[] = {kNoLayer, 0, 1, kNoLayer};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(file.segments()[i].layer == layers[i]);
    CHECK(file.segments()[i].offset % (64 << 10) == 0);
  }
  CHECK(file.segments()[1].offset == by_offset[1]->offset);
  CHECK(file.segments()[1].bytes ==
        by_offset[3]->offset + by_offset[3]->bytes - by_offset[1]->offset);
}

TEST_CASE("a segment of 32 MiB begins at a multiple of 2 MiB") {
  MicaWriter writer("unused.mica",
                    {{.role = Role::kTokenEmbedding, .dtype = kF32, .rows = 1, .cols = 8},
                     {.role = Role::kHead, .dtype = kF32, .rows = 1024, .cols = 8192}},
                    {});
  CHECK(writer.planned_bytes() == (2 << 20) + (32 << 20));
}

TEST_CASE("experts have segments of their own behind their layer") {
  const TempFolder folder;
  const std::string path = folder.file("experts.mica");
  std::vector<TensorSpec> specs;
  for (int expert : {1, kNoExpert, 0}) {
    specs.push_back(
        {.role = Role::kFfnUp, .layer = 0, .expert = expert, .dtype = kF32, .rows = 2, .cols = 2});
  }
  write_model(path, specs, Json::object());
  const MicaFile file = MicaFile::open(path);
  REQUIRE(file.segments().size() == 3);
  CHECK(file.segments()[0].expert == kNoExpert);
  CHECK(file.segments()[2].expert == 1);
  CHECK(file.find(Role::kFfnUp, 0, 1)->name == "layers.0.experts.1.ffn.up");
}

TEST_CASE("equal models are equal files, whatever the order and the NaN") {
  const TempFolder folder;
  auto specs = tiny_model_specs();
  write_model(folder.file("a"), specs, tiny_model_metadata());
  std::reverse(specs.begin(), specs.end());
  write_model(folder.file("b"), specs, tiny_model_metadata());
  CHECK(folder.get("a") == folder.get("b"));

  const std::vector<TensorSpec> one = {{.role = Role::kHead, .dtype = kF32, .rows = 1, .cols = 1}};
  for (const char* name : {"c", "d"}) {
    MicaWriter writer(folder.file(name), one, {});
    writer.begin_tensor();
    writer.write(as_bytes("1234"));
    writer.end_tensor(name[0] == 'c' ? std::nanf("1") : -std::nanf("2"));
    writer.finish(Json::object());
  }
  CHECK(folder.get("c") == folder.get("d"));
  CHECK(std::isnan(MicaFile::open(folder.file("c")).tensors()[0].relative_error));
}

TEST_CASE("metadata is canonical: sorted names at every depth, no white space") {
  const TempFolder folder;
  const Json list = Json(Json::Array{Json::object({{"z", 1}, {"a", 1e-05}}), true});
  write_model(folder.file("m"), {}, Json::object({{"b", list}, {"a\n", "\xc3\xa9"}}));
  const std::string bytes = folder.get("m");
  const std::string text = R"({"a\n":"é","b":[{"a":1e-05,"z":1},true]})";
  CHECK(bytes.substr(bytes.size() - text.size()) == text);
}

TEST_CASE("the writer refuses what cannot be written") {
  const auto plan = [](std::vector<TensorSpec> specs) {
    return message_of([&] { MicaWriter("out.mica", specs, {}); });
  };
  const TensorSpec head{.role = Role::kHead, .dtype = kF32, .rows = 2, .cols = 2};
  CHECK(plan({head, head}) == "out.mica: tensor 'head' was given twice");
  TensorSpec spec = head;
  spec.layer = 3;
  CHECK(plan({spec}).find("expected a known role in a layer that fits it") != std::string::npos);
  spec = head;
  spec.role = Role{77};
  CHECK(plan({spec}).find("found role 77") != std::string::npos);
  spec = head;
  spec.cols = 0;
  CHECK(plan({spec}) == "out.mica: tensor 'head': cols: expected 1 to 2147483647, found 0");
  spec = head;
  spec.dtype = kQ4g32;
  CHECK(plan({spec}).find("divisible by group 32, found 2") != std::string::npos);
  spec.dtype.code_bits = 5;
  CHECK(plan({spec}).find("expected a weight type whose fields agree") != std::string::npos);
}

TEST_CASE("a writer that is misused says how and leaves no file") {
  const TempFolder folder;
  const TensorSpec head{.role = Role::kHead, .dtype = kF32, .rows = 2, .cols = 2};
  {
    MicaWriter writer(folder.file("out.mica"), {head}, {});
    CHECK(message_of([&] { writer.write(as_bytes("x")); }).find("outside of a tensor") !=
          std::string::npos);
    CHECK(message_of([&] { writer.end_tensor(0); }).find("not begun") != std::string::npos);
    CHECK(message_of([&] {
            writer.finish(Json::object());
          }).find("expected 1 tensors, was given 0") != std::string::npos);
    CHECK(std::filesystem::is_empty(folder.path()));  // nothing before the first tensor
    writer.begin_tensor();
    CHECK(message_of([&] { writer.begin_tensor(); }).find("'head' was not ended") !=
          std::string::npos);
    writer.write(as_bytes("123456789"));
    CHECK(message_of([&] { writer.end_tensor(0); }).find("expected 16 bytes, was given 9") !=
          std::string::npos);
    CHECK(message_of([&] { writer.write(as_bytes("12345678")); }).find("was given more") !=
          std::string::npos);
    writer.write(as_bytes("1234567"));
    writer.end_tensor(0);
    CHECK(message_of([&] { writer.begin_tensor(); }).find("expected 1 tensors, was given more") !=
          std::string::npos);
    CHECK(message_of([&] { writer.finish(Json::array()); }).find("expected object, found array") !=
          std::string::npos);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("whichever allocation fails, opening and writing let it out and leave nothing") {
  const TempFolder folder;
  const auto specs = tiny_model_specs();
  const Json metadata = tiny_model_metadata();
  const std::string path = folder.file("model");
  CHECK(fail_each_allocation([&] { write_model(path, specs, metadata); }) > 20);
  CHECK(fail_each_allocation([&] { MicaFile::open(path).find_damage({}); }) > 20);
  const auto files = std::filesystem::directory_iterator(folder.path());
  CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("find_damage can be stopped and tells its progress") {
  const TempFolder folder;
  write_model(folder.file("a"), tiny_model_specs(), tiny_model_metadata());
  const MicaFile file = MicaFile::open(folder.file("a"));
  uint64_t last = 0;
  file.find_damage([&](uint64_t done, uint64_t total) {
    CHECK(done > last);
    CHECK(total == file.file_bytes());
    last = done;
    return true;
  });
  CHECK(last == file.file_bytes());
  CHECK_THROWS_AS(file.find_damage([](uint64_t, uint64_t) { return false; }), Error);
}

}  // namespace
}  // namespace mica::testing
