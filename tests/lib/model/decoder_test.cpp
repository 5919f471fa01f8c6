#include "lib/model/decoder.h"

#include <doctest/doctest.h>

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

  KvPool& pool() { return pool_; }
  Decoder& decoder() { return decoder_; }

  // Logits after every one of `ids`, fed `chunk` at a time.
  std::vector<float> logits_of(const std::vector<int32_t>& ids, size_t chunk) {
    KvSequence sequence(pool_);
    std::vector<float> all;
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const auto part = std::span(ids).subspan(begin, std::min(chunk, ids.size() - begin));
      sequence.resize(static_cast<int64_t>(begin + part.size()));
      const BatchSegment segment{.tokens = std::ssize(part),
                                 .first_position = static_cast<int64_t>(begin),
                                 .blocks = sequence.blocks()};
      REQUIRE(decoder_.forward(part, {&segment, 1}, pool_));
      append_logits(part.size(), all);
    }
    return all;
  }

  void append_logits(size_t rows, std::vector<float>& all) {
    std::vector<int32_t> numbers(rows);
    for (size_t i = 0; i < rows; ++i) numbers[i] = static_cast<int32_t>(i);
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

TEST_CASE("logits do not depend on how tokens are split into steps, bit for bit") {
  for (const std::string architecture : {"llama", "qwen2"}) {
    CAPTURE(architecture);
    Fixture fixture({.architecture = architecture});
    const auto ids = some_ids(kTokens);
    const std::vector<float> whole = fixture.logits_of(ids, kTokens);
    CHECK(fixture.logits_of(ids, 1) == whole);
    CHECK(fixture.logits_of(ids, 7) == whole);
    CHECK(fixture.logits_of(ids, 16) == whole);
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
  REQUIRE(fixture.decoder().forward(ids, segments, fixture.pool()));
  std::vector<float> together;
  fixture.append_logits(ids.size(), together);
  CHECK(together == apart);
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

TEST_CASE("a cancelled step says so") {
  Fixture fixture({});
  KvSequence sequence(fixture.pool());
  sequence.resize(1);
  const BatchSegment segment{.tokens = 1, .blocks = sequence.blocks()};
  const CancelFlag cancel = true;
  const int32_t id = 5;
  CHECK_FALSE(fixture.decoder().forward({&id, 1}, {&segment, 1}, fixture.pool(), &cancel));
}

}  // namespace
}  // namespace mica::testing
