// What the conformance suite does not ask: allocation during steps, growing room, large float
// weights.
#include "backends/cpu/cpu_backend.h"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include "lib/base/half.h"
#include "quant/weight_type.h"
#include "tests/support/failing_new.h"

namespace mica {
namespace {

std::vector<float> normals(int64_t count) {
  std::mt19937 engine(static_cast<unsigned>(count));
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

struct TestWeight {
  std::vector<std::byte> bytes;
  std::vector<float> values;  // [rows, cols]
  Weight weight;

  TestWeight(const DType& dtype, int64_t rows, int64_t cols) : values(normals(rows * cols)) {
    bytes.resize(tensor_bytes(dtype, rows, cols, "weight"));
    weight = {dtype, rows, cols, bytes.data(), slab_stride(dtype, cols, "weight")};
    if (const WeightType* type = find_weight_type(dtype)) {
      for (int64_t row = 0; row < rows; row += kPanelRows) {
        std::byte* slab = bytes.data() + row / kPanelRows * weight.slab_stride;
        type->encode(&values[row * cols], cols, dtype.group, slab);
      }
      return;
    }
    for (size_t i = 0; i < values.size(); ++i) store(i);
  }

 private:
  void store(size_t i) {
    float& value = values[i];
    const bool is_f16 = weight.dtype == kF16;
    const uint16_t half = is_f16 ? f32_to_f16(value) : f32_to_bf16(value);
    if (weight.dtype == kF32) {
      std::memcpy(&bytes[4 * i], &value, 4);
    } else {
      std::memcpy(&bytes[2 * i], &half, 2);
      value = is_f16 ? f16_to_f32(half) : bf16_to_f32(half);
    }
  }
};

// out = x * weight^T
std::vector<float> multiply(Backend& backend, const TestWeight& weight,
                            const std::vector<float>& x) {
  const auto tokens = static_cast<int64_t>(x.size()) / weight.weight.cols;
  std::vector<float> out(tokens * weight.weight.rows);
  const Projection projection{&weight.weight, {}, {out.data(), tokens, weight.weight.rows}};
  backend.norm_linear(
      {.x = {x.data(), tokens, weight.weight.cols}, .projections = {&projection, 1}});
  return out;
}

TEST_CASE("large float weights go through the module in blocks of tokens and of rows") {
  // More tokens than a block, the last block small; more columns than are widened 256 rows at a
  // time.
  const int64_t rows = 291, cols = 2080, tokens = 515;
  const std::vector<float> x = normals(tokens * cols);
  for (const DType& dtype : {kF32, kF16, kBF16}) {
    const TestWeight weight(dtype, rows, cols);
    for (const Activations activations : {Activations::kInt8, Activations::kF32}) {
      ThreadPool pool(2);
      const auto backend = make_cpu_backend(pool, {.activations = activations});
      backend->reserve({.tokens = tokens, .input_cols = cols, .float_weights = true});
      const std::vector<float> out = multiply(*backend, weight, x);
      double worst = 0;  // error beside what `cols` float additions may lose
      for (int64_t i = 0; i < tokens * rows; ++i) {
        const float* a = &x[i / rows * cols];
        const float* w = &weight.values[i % rows * cols];
        double sum = 0, magnitude = 0;
        for (int64_t k = 0; k < cols; ++k) {
          const double product = double{a[k]} * w[k];
          sum += product;
          magnitude += std::fabs(product);
        }
        worst = std::max(worst, std::fabs(out[i] - sum) / (magnitude * (cols + 2) * 0x1p-24));
      }
      CAPTURE(dtype_name(dtype));
      CHECK(worst <= 1);
    }
  }
}

TEST_CASE("operations allocate nothing") {
  ThreadPool pool(1);  // this thread's allocations are counted
  const auto backend = make_cpu_backend(pool, {});
  const int64_t tokens = 40, cols = 64, heads = 4, kv_heads = 2, size = 16;
  const TestWeight table(parse_dtype("q8g32"), 48, cols), weight(parse_dtype("q4g32"), cols, cols);
  const std::vector<float> norm = normals(cols);
  const KvLayout layout{KvType::kF16, kv_heads, size};
  std::vector<std::byte> cache(3 * layout.block_bytes());
  const std::vector<int32_t> ids(tokens, 7), blocks{2, 0, 1}, rows{39};
  std::vector<float> x(tokens * cols), q(x), k(tokens * kv_heads * size), v(k), logits(48),
      angles(tokens * size / 2, 0.5f);
  const View<float> state(x.data(), tokens, cols);
  const Projection projections[] = {{&weight.weight, {}, {q.data(), tokens, cols}}};
  const BatchSegment segment{0, tokens, 0, blocks};
  backend->reserve({.tokens = tokens,
                    .logit_rows = 1,
                    .input_cols = cols,
                    .heads = heads,
                    .head_size = size,
                    .context = 48});

  testing::allocations_left = 0;
  backend->embed({.ids = ids, .table = &table.weight, .out = state});
  backend->norm_linear({.x = state,
                        .norm = {.weight = {norm.data(), cols}, .epsilon = 1e-5f},
                        .projections = projections});
  backend->rope_store_kv(
      {.q = {q.data(), tokens, heads, size},
       .k = {k.data(), tokens, kv_heads, size},
       .v = {v.data(), tokens, kv_heads, size},
       .rope = {{angles.data(), tokens, size / 2}, {angles.data(), tokens, size / 2}},
       .kv = {layout, cache.data()},
       .segments = {&segment, 1}});
  backend->attention({.q = {q.data(), tokens, heads, size},
                      .kv = {layout, cache.data()},
                      .segments = {&segment, 1},
                      .scale = 0.25f,
                      .out = {q.data(), tokens, heads, size}});
  backend->linear_add({.x = state, .weight = &weight.weight, .residual = {q.data(), tokens, cols}});
  backend->norm_add({.x = {q.data(), tokens, cols},
                     .norm = {.weight = {x.data(), cols}},
                     .residual = {q.data(), tokens, cols}});
  backend->gated_linear(
      {.x = state, .gate = &weight.weight, .up = &weight.weight, .out = {q.data(), tokens, cols}});
  backend->logits({.x = state, .rows = rows, .head = &table.weight, .out = {logits.data(), 1, 48}});
  testing::allocations_left = std::numeric_limits<int64_t>::max();
  CHECK(std::isfinite(logits[0]));
}

TEST_CASE(
    "room once made stays, whatever is asked for later, and a failure to make more harms nothing") {
  ThreadPool pool(2);
  const auto backend = make_cpu_backend(pool, {});
  const int64_t rows = 32, cols = 64;
  const TestWeight weight(parse_dtype("q4g32"), rows, cols);
  const std::vector<float> x = normals(20 * cols);
  const StepLimits limits{.tokens = 20, .input_cols = cols};
  const uint64_t bytes = backend->reserve(limits);
  const std::vector<float> out = multiply(*backend, weight, x);

  CHECK(backend->reserve({.tokens = 1, .input_cols = 32}) == bytes);
  CHECK(multiply(*backend, weight, x) == out);
  CHECK_THROWS_AS(backend->reserve({.tokens = int64_t{1} << 40, .input_cols = cols}),
                  std::bad_alloc);
  CHECK(multiply(*backend, weight, x) == out);
  CHECK(backend->reserve({.tokens = 21, .input_cols = cols}) > bytes);
  CHECK(multiply(*backend, weight, x) == out);
  // What float weights of many tokens need is counted before they come.
  const uint64_t beside = backend->reserve({});
  CHECK(backend->reserve({.float_weights = true}) > beside + 2 * (2 << 20));
  CHECK(multiply(*backend, weight, x) == out);
}

}  // namespace
}  // namespace mica
