// A random model of every architecture through importer, conversion and engine, against the logits
// that transformers computes from it (tests/data/architectures, made by make_architectures.py).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>

#include "lib/base/checked.h"
#include "lib/base/mapped_file.h"
#include "lib/runtime/convert.h"
#include "lib/runtime/session.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

struct GoldenSequence {
  int64_t context;                         // of the session: rotary scalings depend on it
  std::vector<int32_t> ids;                // [P]
  std::vector<std::vector<float>> logits;  // [P][V]
};

std::vector<GoldenSequence> read_golden(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  ByteReader reader(file.bytes(), path);
  REQUIRE(as_text(reader.read_bytes(8)) == "MICATNY2");
  const auto vocabulary = reader.read<uint32_t>();
  std::vector<GoldenSequence> golden(reader.read<uint32_t>());
  for (GoldenSequence& sequence : golden) {
    sequence.ids.resize(reader.read<uint32_t>());
    sequence.context = reader.read<uint32_t>();
    for (int32_t& id : sequence.ids) id = reader.read<int32_t>();
    for (size_t i = 0; i < sequence.ids.size(); ++i) {
      const auto scale = reader.read<float>();
      std::vector<float>& row = sequence.logits.emplace_back(vocabulary);
      for (float& logit : row) logit = scale * static_cast<float>(reader.read<int16_t>());
    }
  }
  return golden;
}

// Folders of the models, by name.
std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(MICA_ARCHITECTURES)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

double mean_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(double{a[i]} - double{b[i]});
  return sum / static_cast<double>(a.size());
}

// KL divergence of softmax(found) from softmax(golden).
double divergence(std::span<const float> golden, std::span<const float> found) {
  const auto log_sum = [](std::span<const float> logits) {
    const double greatest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(logit - greatest);
    return greatest + std::log(sum);
  };
  const double golden_sum = log_sum(golden), found_sum = log_sum(found);
  double sum = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    const double log_p = golden[i] - golden_sum;
    sum += std::exp(log_p) * (log_p - (found[i] - found_sum));
  }
  return sum;
}

// A model of tests/data/architectures, converted and loaded.
class Converted {
 public:
  Converted(const std::string& model, const char* quant, Activations activations)
      : source_(MICA_ARCHITECTURES "/" + model),
        engine_(std::make_shared<Engine>(EngineOptions{.activations = activations})) {
    for (const char* name : {"config.json", "model.safetensors"}) {
      std::filesystem::create_symlink(source_ + "/" + name, folder_.file(name));
    }
    folder_.put("tokenizer.json", tiny_tokenizer_json().dump());
    convert_model(folder_.path(), folder_.file("tiny.mica"), {.quant = quant}, *engine_, {});
    model_ = LoadedModel::load(engine_, folder_.file("tiny.mica"));
  }
  std::vector<GoldenSequence> golden() const { return read_golden(source_ + "/golden.bin"); }
  Session session(const GoldenSequence& golden, KvType kv) const {
    return Session(model_, {.context = golden.context, .kv = kv});
  }

 private:
  const std::string source_;
  const TempFolder folder_;
  const std::shared_ptr<Engine> engine_;
  std::shared_ptr<const LoadedModel> model_;
};

// Logits deviate by 1 to 1.8 from their mean. Golden ones are rounded to 16 bits, which leaves 2e-5
// to 4e-5. A window of one token more changes them by 0.05 and more, a scale that is wrong by 2 %
// by 0.004, the other kind of GELU by 1.6e-4.
TEST_CASE("float models give the logits of transformers, in steps of one token and of many") {
  for (const std::string& name : model_names()) {
    CAPTURE(name);
    const Converted model(name, "f32", Activations::kF32);
    for (const GoldenSequence& golden : model.golden()) {
      Session by_one = model.session(golden, KvType::kF32);
      Session by_many = model.session(golden, KvType::kF32);
      double sum = 0, worst = 0;
      size_t fed = 0, piece = 1;
      for (size_t i = 0; i < golden.ids.size(); ++i) {
        REQUIRE(by_one.feed({&golden.ids[i], 1}));
        sum += mean_difference(by_one.logits(), golden.logits[i]);
        // Pieces of 1, 2, ... tokens, which start anywhere in a block of the cache.
        if (i + 1 - fed < piece && i + 1 < golden.ids.size()) continue;
        REQUIRE(by_many.feed({&golden.ids[fed], i + 1 - fed}));
        worst = std::max(worst, mean_difference(by_one.logits(), by_many.logits()));
        fed = i + 1;
        piece += 1;
      }
      const double found = sum / static_cast<double>(golden.ids.size());
      MESSAGE(name, ": mean |difference| ", found, ", of prefill from decode ", worst);
      CHECK(found <= 1e-4);
      CHECK(worst <= 1e-4);
    }
  }
}

TEST_CASE("the same models in eight bits stay close") {
  for (const std::string& name : model_names()) {
    CAPTURE(name);
    const Converted model(name, "q8g32", Activations::kInt8);
    for (const GoldenSequence& golden : model.golden()) {
      Session session = model.session(golden, KvType::kF16);
      double sum = 0;
      for (size_t i = 0; i < golden.ids.size(); ++i) {
        REQUIRE(session.feed({&golden.ids[i], 1}));
        sum += divergence(golden.logits[i], session.logits());
      }
      const double found = sum / static_cast<double>(golden.ids.size());
      MESSAGE(name, " q8g32: mean KL divergence ", found);
      CHECK(found <= 0.01);
    }
  }
}

}  // namespace
}  // namespace mica::testing
