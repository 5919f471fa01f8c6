#include "lib/runtime/benchmark.h"

#include <cmath>
#include <doctest/doctest.h>

#include "backends/cpu/machine_limits.h"
#include "lib/base/error.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

struct Fixture {
  TempFolder folder;
  MicaFile file;
  explicit Fixture(const TinyModel& model = {})
      : file(MicaFile::open(write_tiny_model(folder.file("tiny.mica"), model))) {}
};

const BenchmarkOptions kQuick{
    .threads = {1}, .prompts = {8}, .depths = {0, 16}, .generated = 4, .repetitions = 2};

TEST_CASE("a benchmark has every case once, in the order of depths, each with all repetitions") {
  const Fixture f;
  BenchmarkOptions options = kQuick;
  options.batches = {1, 3};
  const BenchmarkResult result = run_benchmark(f.file, options, {});
  REQUIRE(result.cases.size() == 2 * (1 + 2));
  for (const BenchmarkCase& c : result.cases) {
    CHECK(c.tokens_per_second.size() == 2);
    CHECK(median(c.tokens_per_second) > 0);
  }
  CHECK(result.cases[0].test == BenchmarkTest::kPrefill);
  CHECK(result.cases[2].batch == 3);
  CHECK(result.cases[5].depth == 16);
}

TEST_CASE("bytes and operations a token are those of the model's shapes") {
  const TinyModel model;
  const Fixture f(model);
  const BenchmarkResult result = run_benchmark(f.file, kQuick, {});
  const double d = model.hidden_size, ff = model.feed_forward_size, layers = model.layers;
  const double q = model.heads * model.head_size, kv = model.kv_heads * model.head_size;
  const double linears = layers * (2 * d * q + 2 * d * kv + 3 * d * ff);
  const double last = d * q + 3 * d * ff, tokens = static_cast<double>(result.cases[0].tokens);
  CHECK(result.cases[0].operations_per_token ==
        doctest::Approx(2 * (linears - last + last / tokens)));
  CHECK(result.cases[1].operations_per_token == 2 * (linears + d * model.vocabulary_size));
  // Deeper decodes read the keys and values of 16 positions more, two bytes a number.
  CHECK(result.cases[3].bytes_per_token - result.cases[1].bytes_per_token ==
        doctest::Approx(layers * 2 * kv * 2 * 16));
}

TEST_CASE("a prompt or a decode of no tokens is left out") {
  const Fixture f;
  BenchmarkOptions options = kQuick;
  options.prompts = {0};
  CHECK(run_benchmark(f.file, options, {}).cases.size() == 2);
  options.generated = 0;
  const BenchmarkResult limits_alone = run_benchmark(f.file, options, {});
  CHECK(limits_alone.cases.empty());
  CHECK(limits_alone.limits.front().read > 0);
}

TEST_CASE("cases of a second repetition come after all cases of the first") {
  const Fixture f;
  run_benchmark(f.file, kQuick,
                [&](const BenchmarkResult& so_far, std::string_view, uint64_t, uint64_t) {
                  const size_t first = so_far.cases.front().tokens_per_second.size();
                  CHECK(first - so_far.cases.back().tokens_per_second.size() <= 1);
                  return true;
                });
}

TEST_CASE("a benchmark stops when its progress says so") {
  const Fixture f;
  const auto stop = [](const BenchmarkResult&, std::string_view doing, uint64_t, uint64_t) {
    return doing != "measuring";
  };
  const auto error = error_of([&] { run_benchmark(f.file, kQuick, stop); });
  CHECK(error.code() == ErrorCode::kInterrupted);
}

TEST_CASE("numbers that make no sense are refused by name") {
  const Fixture f;
  const auto refuse = [&](const char* part, auto change) {
    BenchmarkOptions options = kQuick;
    change(options);
    const auto error = error_of([&] { run_benchmark(f.file, options, {}); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK_MESSAGE(error.message().find(part) != std::string::npos, error.message());
  };
  refuse("threads: expected 1 ..", [](auto& o) { o.threads = {0}; });
  refuse("found 1000", [](auto& o) { o.threads = {1000}; });
  setenv("MICA_THREADS", "1000", 1);
  refuse("MICA_THREADS: expected 1 ..", [](auto& o) { o.threads = {}; });
  unsetenv("MICA_THREADS");
  refuse("depth", [](auto& o) { o.depths = {1 << 20}; });
  refuse("depth", [](auto& o) { o.depths = {-1}; });
  refuse("prompt", [](auto& o) { o.prompts = {-1}; });
  refuse("batch", [](auto& o) { o.batches = {0}; });
  refuse("generated", [](auto& o) { o.generated = -1; });
  refuse("repetitions", [](auto& o) { o.repetitions = 0; });
}

TEST_CASE("a median is the middle, or the mean of the two in the middle") {
  CHECK(median({}) == 0);
  CHECK(median({3}) == 3);
  CHECK(median({5, 1, 3}) == 3);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("every loop reads every byte, and peaks are known for every ISA of x86 and AArch64") {
  const AlignedBuffer buffer = cpu::make_read_buffer(4 * cpu::kReadMultiple);
  for (const cpu::ReadLoop& loop : cpu::read_loops()) {
    const uint64_t before = loop.read(buffer.data(), buffer.bytes());
    for (uint64_t at = 0; at < buffer.bytes(); at += 8) {
      buffer.data()[at] ^= std::byte{0x80};
      CHECK(loop.read(buffer.data(), buffer.bytes()) != before);
      buffer.data()[at] ^= std::byte{0x80};
    }
  }
#if defined(__x86_64__) || defined(__aarch64__)
  ThreadPool pool(1);
  for (const std::string& isa : isas_here()) {
    if (isa == "reference") continue;
    for (const cpu::PeakLoop* loop : {cpu::int8_peak(isa), cpu::float_peak(isa)}) {
      REQUIRE(loop != nullptr);
      CHECK(cpu::measure_peak(pool, *loop) > 0);
    }
  }
#endif
}

}  // namespace
}  // namespace mica::testing
