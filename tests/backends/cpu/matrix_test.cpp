// Products in matrix tiles on machines without them: the algorithm over emulated tiles, and on
// x86-64 the unit's own instructions, each trapped and emulated. Where there is AMX, they run as
// they are.
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <optional>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/formats.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/machine_limits.h"
#include "tests/backends/cpu/emulated_kernels.h"
#include "tests/lib/backend/conformance_data.h"
#if defined(__x86_64__)
#include "tests/backends/cpu/tile_traps.h"
#endif

namespace mica {
namespace {

using cpu::Kernels;

constexpr float kUntouched = -77;

// Against the streaming products of `kernels`, which the conformance suite holds against the
// reference. Columns are one group, one block and three; panels are 1 to 7, whole stripes and what
// is left over.
struct TokenCounts {
  const Kernels& kernels;
  AlignedBuffer scratch{cpu::kProductScratchBytes};

  // Nothing stands behind the tokens there are: sanitizers see what is read.
  void check(const cpu::Panels& w, int64_t tokens, const std::vector<float>& x) const {
    const int64_t rows = w.count * kPanelRows, row_groups = w.cols / w.group;
    std::vector<int8_t> codes(tokens * w.cols);
    std::vector<cpu::InputGroup> groups(tokens * row_groups);
    for (int64_t t = 0; t < tokens; ++t) {
      kernels.quantize(&x[t * w.cols], w.cols, w.group, &codes[t * w.cols],
                       &groups[t * row_groups]);
    }
    std::vector<float> expected(tokens * rows), actual(tokens * rows + 1, kUntouched);
    const cpu::CodedInput input{codes.data(), groups.data()};
    kernels.multiply_few(w, input, tokens, {expected.data(), rows});
    kernels.multiply_many(w, input, tokens, {actual.data(), rows}, scratch.data());
    CHECK(actual.back() == kUntouched);
    actual.pop_back();
    CHECK(conformance::find_difference(expected, actual) == "");
  }

  void check_all(const DType& dtype, int64_t cols, conformance::Values values, int64_t step) const {
    constexpr int64_t kMost = 70, kMostPanels = 7;
    conformance::Random random(dtype.type + dtype.group);
    const auto weight =
        conformance::random_weight(random, dtype, kMostPanels * kPanelRows, cols, values);
    const auto x = conformance::random_input(random, kMost, cols);
    const Weight bytes = weight.on_host();
    for (int64_t tokens = 1; tokens <= kMost; tokens += step) {
      CAPTURE(tokens);
      check({.format = cpu::format_of(dtype),
             .group = dtype.group,
             .cols = cols,
             .first = bytes.data,
             .stride = bytes.slab_stride,
             .count = tokens % kMostPanels + 1},
            tokens, x);
    }
  }
};

void check_token_counts(const Kernels& kernels, int64_t step) {
  const TokenCounts counts{kernels};
  for (const int64_t cols : {32, 128, 640}) {
    for (const DType& dtype : conformance::panel_dtypes(cols)) {
      CAPTURE(cols);
      CAPTURE(dtype_name(dtype));
      counts.check_all(dtype, cols, conformance::Values::kUsual, step);
      counts.check_all(dtype, cols, conformance::Values::kExtreme, step);
    }
  }
}

conformance::BackendFactory backends_of(const Kernels& kernels) {
  return [&](int threads, Activations activations) {
    auto pool = std::make_unique<ThreadPool>(threads);
    auto backend = cpu::make_backend(*pool, kernels, activations);
    return conformance::TestedBackend{std::move(pool), std::move(backend)};
  };
}

TEST_CASE("products in emulated tiles have the bits of streamed products for 1 to 70 tokens") {
  Kernels kernels = cpu::kernels_of("generic");
  kernels.multiply_many = cpu::emulated::kKernels.multiply_many;
  check_token_counts(kernels, 1);
}

TEST_CASE("products in emulated tiles conform, of few tokens too") {
  Kernels kernels = cpu::kernels_of("generic");
  kernels.isa = "emulated tiles";
  kernels.multiply_many = cpu::emulated::kKernels.multiply_many;
  kernels.few_tokens = 0;
  conformance::check_integer_products(backends_of(kernels));
  conformance::check_bad_numbers(backends_of(kernels));
}

#if defined(__x86_64__)
// Runs `check` on the kernels of "amx", with traps where the processor has no tiles.
template <class F>
void on_amx(F check) {
  const cpu::CpuFeatures cpu = cpu::read_cpu_features();
  if (const auto missing = cpu::missing_features("avx512vnni", cpu); !missing.empty()) {
    MESSAGE("skipped: the vectors beside the tiles need a processor with " << missing);
    return;
  }
  std::optional<testing::TileTraps> traps;
  if (!cpu::missing_features("amx", cpu).empty()) {
    if (cpu.leaf7_edx >> 24 & 1) {
      MESSAGE("skipped: the processor has AMX, which the system keeps from this process");
      return;
    }
    traps.emplace();
  }
  check(cpu::kernels_of("amx"));
}

TEST_CASE("products in the tiles of AMX have the bits of streamed products") {
  on_amx([](const Kernels& kernels) { check_token_counts(kernels, 6); });
}

TEST_CASE("products of several threads in the tiles of AMX conform") {
  on_amx([](const Kernels& kernels) { conformance::check_normed_products(backends_of(kernels)); });
}

TEST_CASE("the loop that measures the peak of AMX configures, multiplies and releases") {
  on_amx([](const Kernels& kernels) {
    const cpu::PeakLoop* loop = cpu::int8_peak(kernels.isa);
    REQUIRE(loop != nullptr);
    for (const int64_t rounds : {1, 3}) loop->run(rounds);
    CHECK(cpu::float_peak(kernels.isa) != nullptr);
  });
}
#endif

}  // namespace
}  // namespace mica
