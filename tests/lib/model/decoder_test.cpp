#include "lib/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

#include "lib/backend/reference_backend.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace mica::testing {
namespace {

constexpr int kTokens = 40;

std::vector<int32_t> some_ids(int count, int seed = 0) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 37 + seed * 101 + 5) % 272);
  return ids;
}

// A tiny model on the reference backend with a cache.
class Fixture {
 public:
  explicit Fixture(const TinyModel& model, Activations activations = Activations::kInt8,
                   KvType kv = KvType::kF16)
      : file_(MicaFile::open(write_tiny_model(folder_.file("t.mica"), model))),
        config_(parse_model_config(file_.metadata()["model"], "t.mica")),
        weights_(bind_weights(file_, config_, find_architecture(config_.architecture, "t.mica"))),
        backend_(make_reference_backend(activations)),
        pool_(*backend_, config_.layers,
              {.type = kv, .kv_heads = config_.kv_heads, .head_size = config_.head_size}, 16),
        decoder_(*backend_, config_, weights_,
                 {.tokens = 64, .logit_rows = 64, .context = 16 * kKvBlockTokens}) {}

  uint64_t scratch_bytes(const DecoderLimits& limits) const {
    return Decoder::scratch_bytes(config_, weights_.traits, limits);
  }
  KvPool& pool() { return pool_; }
  Decoder& decoder() { return decoder_; }

  // Logits after every one of `ids` from `from` on, fed `chunk` at a time; others are not asked
  // for.
  std::vector<float> logits_of(const std::vector<int32_t>& ids, size_t chunk, size_t from = 0) {
    KvSequence sequence(pool_);
    std::vector<float> all;
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const auto part = std::span(ids).subspan(begin, std::min(chunk, ids.size() - begin));
      sequence.resize(static_cast<int64_t>(begin + part.size()));
      const BatchSegment segment{.tokens = std::ssize(part),
                                 .first_position = static_cast<int64_t>(begin),
                                 .blocks = sequence.blocks()};
      const size_t first = std::clamp(from, begin, begin + part.size()) - begin;
      const RowRange rows{.first = static_cast<int64_t>(first),
                          .count = static_cast<int64_t>(part.size() - first)};
      REQUIRE(decoder_.forward(part, {&segment, 1}, pool_, rows));
      append_logits(rows, all);
    }
    return all;
  }

  void append_logits(RowRange rows, std::vector<float>& all) {
    if (rows.count == 0) return;
    std::vector<int32_t> numbers(static_cast<size_t>(rows.count));
    std::iota(numbers.begin(), numbers.end(), static_cast<int32_t>(rows.first));
    const View<const float> logits = decoder_.logits(numbers);
    all.insert(all.end(), logits.data(), logits.data() + logits.size());
  }

 private:
  TempFolder folder_;
  MicaFile file_;
  ModelConfig config_;
  ModelWeights weights_;
  std::unique_ptr<Backend> backend_;
  KvPool pool_;
  Decoder decoder_;
};

// What the numbers of a model may add to any architecture: a window in the second layer with a
// rotation of its own, none in the first, capped scores.
void add_features(Json& metadata) {
  Json& model = metadata["model"];
  model["window"] = 9;
  model["windowed_layers"] = Json::Array{false, true};
  model["rope_layers"] = Json::Array{false, true};
  model["window_rope"] = Json::object({{"base", 100.0}, {"size", 8}, {"scaling", "none"}});
  model["attention_softcap"] = 3.0;
  model["residual_scale"] = 0.7;
}

TEST_CASE("logits do not depend on how tokens are split into steps, bit for bit") {
  for (const Architecture* architecture : architectures()) {
    CAPTURE(architecture->name);
    Fixture fixture(
        {.architecture = architecture->name, .biases = true, .change_metadata = add_features});
    const auto ids = some_ids(kTokens);
    const std::vector<float> whole = fixture.logits_of(ids, kTokens);
    CHECK(fixture.logits_of(ids, 1) == whole);
    CHECK(fixture.logits_of(ids, 7) == whole);
    CHECK(fixture.logits_of(ids, 16) == whole);
  }
}

TEST_CASE("logits are the same, bit for bit, when those of other rows are not asked for") {
  for (const Architecture* architecture : architectures()) {
    CAPTURE(architecture->name);
    Fixture fixture(
        {.architecture = architecture->name, .biases = true, .change_metadata = add_features});
    const auto ids = some_ids(kTokens);
    const std::vector<float> whole = fixture.logits_of(ids, kTokens);
    for (const size_t from : {size_t{1}, size_t{20}, ids.size() - 1}) {
      const auto first = static_cast<std::ptrdiff_t>(from * (whole.size() / ids.size()));
      const std::vector<float> asked_for(whole.begin() + first, whole.end());
      CHECK(fixture.logits_of(ids, kTokens, from) == asked_for);
      CHECK(fixture.logits_of(ids, 7, from) == asked_for);
    }
  }
}

TEST_CASE("sequences in one batch do not see one another") {
  Fixture fixture({});
  const auto first = some_ids(19, 1), second = some_ids(21, 2);
  std::vector<float> apart = fixture.logits_of(first, 64);
  const std::vector<float> rest = fixture.logits_of(second, 64);
  apart.insert(apart.end(), rest.begin(), rest.end());

  KvSequence a(fixture.pool()), b(fixture.pool());
  b.resize(21);
  a.resize(19);
  const BatchSegment segments[] = {
      {.first_row = 0, .tokens = 19, .blocks = a.blocks()},
      {.first_row = 19, .tokens = 21, .blocks = b.blocks()},
  };
  std::vector<int32_t> ids = first;
  ids.insert(ids.end(), second.begin(), second.end());
  for (const int64_t first : {0, 7, 19, 30}) {
    const RowRange rows{.first = first, .count = std::ssize(ids) - first};
    REQUIRE(fixture.decoder().forward(ids, segments, fixture.pool(), rows));
    std::vector<float> together;
    fixture.append_logits(rows, together);
    const auto skipped = first * std::ssize(apart) / std::ssize(ids);
    CHECK(together == std::vector<float>(apart.begin() + skipped, apart.end()));
  }
}

TEST_CASE("every part of the computation shows: other ids, biases, cache types change logits") {
  Fixture llama({}), qwen2({.architecture = "qwen2"});
  Fixture f32({}, Activations::kF32), kv32({}, Activations::kInt8, KvType::kF32);
  const auto ids = some_ids(kTokens);
  const std::vector<float> logits = llama.logits_of(ids, kTokens);
  CHECK(llama.logits_of(some_ids(kTokens, 1), kTokens) != logits);
  CHECK(qwen2.logits_of(ids, kTokens) != logits);
  CHECK(f32.logits_of(ids, kTokens) != logits);
  CHECK(kv32.logits_of(ids, kTokens) != logits);
}

TEST_CASE("every number of the metadata shows in the logits") {
  const auto logits_with = [](const char* key, const char* value) {
    TinyModel model;
    model.change_metadata = [&](Json& metadata) {
      metadata["model"]["window"] = 9;
      metadata["model"]["windowed_layers"] = Json::Array{false, true};
      if (*key != '\0') metadata["model"][key] = Json::parse(value, "test");
    };
    return Fixture(model).logits_of(some_ids(kTokens), kTokens);
  };
  const std::vector<float> plain = logits_with("", "");
  const std::pair<const char*, const char*> changes[] = {
      {"activation", "\"gelu\""},
      {"activation", "\"gelu_tanh\""},
      {"embedding_scale", "2"},
      {"residual_scale", "0.5"},
      {"attention_scale", "0.5"},
      {"attention_softcap", "1"},
      {"parallel_residual", "true"},
      {"window", "5"},
      {"windowed_layers", "[true, true]"},
      {"rope_layers", "[true, false]"},
      {"rope", R"({"base": 1000, "size": 8, "scaling": "none"})"},
      {"rope", R"({"base": 1000, "size": 16, "scaling": "none", "attention_factor": 1.2})"},
      {"window_rope", R"({"base": 100, "size": 16, "scaling": "none"})"}};
  for (const auto& change : changes) {
    CAPTURE(change.first);
    CAPTURE(change.second);
    const std::vector<float> changed = logits_with(change.first, change.second);
    CHECK(std::equal(plain.begin(), plain.end(), changed.begin()) == false);
  }
  const std::vector<float> scaled = logits_with("logits_scale", "0.5");
  const std::vector<float> capped = logits_with("logits_softcap", "2");
  for (size_t i = 0; i < plain.size(); ++i) {
    CHECK(scaled[i] == plain[i] / 2);
    CHECK(capped[i] == doctest::Approx(2 * std::tanh(plain[i] / 2)).epsilon(1e-6));
  }
}

TEST_CASE("memory of a decoder is counted exactly, and has room for norms only where they are") {
  const DecoderLimits limits{.tokens = 5, .logit_rows = 2, .context = 32};
  const auto bytes = [&](const char* architecture) {
    return Fixture({.architecture = architecture}).scratch_bytes(limits);
  };
  // x, q, attention: 5 x 64; k, v: 5 x 32; gated: 5 x 96; cosine, sine: 5 x 8; logits: 2 x 272
  // floats, each padded to 256 bytes.
  CHECK(bytes("llama") == 3 * 1280 + 2 * 768 + 2048 + 2 * 256 + 2304);
  CHECK(bytes("gemma2") == bytes("llama") + 1280);
}

TEST_CASE("a cancelled step says so") {
  Fixture fixture({});
  KvSequence sequence(fixture.pool());
  sequence.resize(1);
  const BatchSegment segment{.tokens = 1, .blocks = sequence.blocks()};
  const CancelFlag cancel = true;
  const int32_t id = 5;
  CHECK_FALSE(fixture.decoder().forward({&id, 1}, {&segment, 1}, fixture.pool(), {}, &cancel));
}

}  // namespace
}  // namespace mica::testing
