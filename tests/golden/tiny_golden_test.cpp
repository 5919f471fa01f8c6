// Hugging Face folders of random models through importer, conversion and engine, against the logits
// that transformers computes from them (tests/data, made by make_tiny.py).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cmath>
#include <doctest/doctest.h>

#include "lib/base/checked.h"
#include "lib/base/mapped_file.h"
#include "lib/runtime/convert.h"
#include "lib/runtime/session.h"
#include "tests/support/temp_folder.h"

namespace mica::testing {
namespace {

struct TinyGolden {
  std::vector<int32_t> ids;   // [P]
  std::vector<float> logits;  // [P, V]
};

TinyGolden read_golden(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  ByteReader reader(file.bytes(), path);
  REQUIRE(as_text(reader.read_bytes(8)) == "MICATNY1");
  const auto vocabulary = reader.read<uint32_t>();
  const auto positions = reader.read<uint32_t>();
  TinyGolden golden;
  for (uint32_t i = 0; i < positions; ++i) golden.ids.push_back(reader.read<int32_t>());
  for (uint32_t i = 0; i < positions * vocabulary; ++i) {
    golden.logits.push_back(reader.read<float>());
  }
  return golden;
}

// Mean |difference| of the logits of a converted model.
double difference(const std::string& name, const char* quant, Activations activations, KvType kv) {
  const std::string source = MICA_TEST_DATA "/" + name;
  const TempFolder folder;
  const auto engine = std::make_shared<Engine>(EngineOptions{.activations = activations});
  convert_model(source, folder.file("tiny.mica"), {.quant = quant}, *engine, {});
  const auto model = LoadedModel::load(engine, folder.file("tiny.mica"));
  Session session(model, {.kv = kv});
  const TinyGolden golden = read_golden(source + "/golden.bin");
  double sum = 0;
  size_t i = 0;
  for (const int32_t id : golden.ids) {
    REQUIRE(session.feed({&id, 1}));
    for (const float logit : session.logits()) sum += std::abs(logit - golden.logits[i++]);
  }
  REQUIRE(i == golden.logits.size());
  return sum / static_cast<double>(i);
}

// Logits deviate by 1.5 from their mean; a bias left out, a frequency not scaled or a norm's
// epsilon in the wrong place changes them by more than 0.01.
TEST_CASE("float models give the logits of transformers") {
  for (const std::string name : {"tiny-qwen2", "tiny-llama3"}) {
    CAPTURE(name);
    const double found = difference(name, "f32", Activations::kF32, KvType::kF32);
    MESSAGE(name, " f32: mean |difference| ", found);
    CHECK(found <= 1e-3);
  }
}

// Eight bits keep about 1/400 of each weight's and input's size as error; a bound to notice a path
// that is wrong, not to measure the type.
TEST_CASE("the same models in eight bits stay close") {
  for (const std::string name : {"tiny-qwen2", "tiny-llama3"}) {
    CAPTURE(name);
    for (const KvType kv : {KvType::kF16, KvType::kBF16, KvType::kInt8}) {
      CAPTURE(static_cast<int>(kv));
      const double found = difference(name, "q8g32", Activations::kInt8, kv);
      MESSAGE(name, " q8g32: mean |difference| ", found);
      CHECK(found <= 0.1);
    }
  }
}

}  // namespace
}  // namespace mica::testing
