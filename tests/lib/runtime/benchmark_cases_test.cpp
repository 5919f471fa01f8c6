#include "lib/runtime/benchmark_cases.h"

#include <doctest/doctest.h>

namespace mica::testing {
namespace {

// One layer of f32 weights: 4 bytes a number.
struct Fixture {
  ModelConfig config;
  ModelWeights weights;
  Fixture() {
    config.layers = 1;
    config.windowed_layers = {false};
    config.kv_heads = 2;
    config.head_size = 8;
    const auto weight = [](int64_t rows, int64_t cols) {
      Weight w;
      w.dtype = kF32;
      w.rows = rows;
      w.cols = cols;
      return w;
    };
    LayerWeights layer;
    layer.q = layer.attn_out = weight(32, 32);
    layer.k = layer.v = weight(16, 32);
    layer.gate = layer.up = weight(64, 32);
    layer.down = weight(32, 64);
    weights.layers.push_back(layer);
    weights.head = weight(100, 32);
  }
};
constexpr double kLinears = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32, kHead = 100 * 32;
constexpr double kLast = 32 * 32 + 3 * 64 * 32;

TEST_CASE("a prefill reads the linears once a step of 512 tokens and the head once") {
  const Fixture f;
  const BenchmarkOptions options{.prompts = {100, 512, 513, 2048}, .generated = 0};
  const auto cases = benchmark_cases(options, f.config, f.weights, 1);
  REQUIRE(cases.size() == 4);
  const double steps[] = {1, 1, 2, 4};
  for (size_t i = 0; i < cases.size(); ++i) {
    CHECK(cases[i].bytes_per_token ==
          4 * (kLinears * steps[i] + kHead) / static_cast<double>(options.prompts[i]));
    // The one layer is the last: one token alone needs more than its keys and values.
    const double tokens = static_cast<double>(options.prompts[i]);
    CHECK(cases[i].operations_per_token ==
          doctest::Approx(2 * (kLinears - kLast + kLast / tokens)));
  }
}

TEST_CASE(
    "a decode with a window reads no more keys and values than it, and a plain feed-forward") {
  Fixture f;
  f.config.windowed_layers = {true};
  f.config.window = 64;
  f.weights.layers[0].gate = {};
  const BenchmarkOptions options{.prompts = {}, .depths = {0, 100}, .batches = {1}, .generated = 3};
  const auto cases = benchmark_cases(options, f.config, f.weights, 1);
  REQUIRE(cases.size() == 2);
  const double weights = 4 * (kLinears - 64 * 32 + kHead);
  CHECK(cases[0].bytes_per_token == weights + 2 * 64);
  CHECK(cases[1].bytes_per_token == weights + 64 * 64);
}

TEST_CASE("a decode shares the weights among its sequences, and reads keys and values of each") {
  const Fixture f;
  const BenchmarkOptions options{
      .prompts = {}, .depths = {0, 100}, .batches = {1, 4}, .generated = 3};
  const auto cases = benchmark_cases(options, f.config, f.weights, 2);
  REQUIRE(cases.size() == 4);
  const double position = 2 * 2 * 8 * 2;  // keys and values of 2 heads of 8 channels of 2 bytes
  for (const BenchmarkCase& c : cases) {
    const double seen = static_cast<double>(c.depth) + 2;  // 1, 2 and 3 beyond the depth
    CHECK(c.bytes_per_token ==
          4 * (kLinears + kHead) / static_cast<double>(c.batch) + seen * position);
    CHECK(c.operations_per_token == 2 * (kLinears + kHead));
    CHECK(c.limit == BenchmarkLimit::kRead);
    CHECK(c.threads == 2);
  }
}

TEST_CASE("little memory makes the read buffer too small to tell the rate of DRAM") {
  CHECK(read_buffer_bytes(0) == uint64_t{512} << 20);  // not known
  CHECK(read_buffer_bytes(uint64_t{64} << 30) == uint64_t{512} << 20);
  CHECK(read_buffer_bytes(uint64_t{512} << 20) == kLeastDramBytes);
  CHECK(read_buffer_bytes(uint64_t{511} << 20) < kLeastDramBytes);
  CHECK(read_buffer_bytes(1) == 1 << 20);
}

}  // namespace
}  // namespace mica::testing
