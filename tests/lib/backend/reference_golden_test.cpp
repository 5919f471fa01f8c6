// The reference against results computed by hand.
#include <cmath>
#include <doctest/doctest.h>
#include <vector>

#include "lib/backend/reference_backend.h"
#include "lib/base/half.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

struct Encoded {
  std::vector<std::byte> slab;
  Weight weight;

  Encoded(std::string_view type, const std::vector<float>& rows, int64_t count) {
    const DType dtype = parse_dtype(type);
    const auto cols = static_cast<int64_t>(rows.size()) / 16;
    slab.resize(slab_stride(dtype, cols, "test"));
    find_weight_type(dtype)->encode(rows.data(), cols, dtype.group, slab.data());
    weight = {dtype, count, cols, slab.data(), slab.size()};
  }
};

// Row 0 of a panel of 32 columns; the others are zeros.
std::vector<float> panel_with_row(const std::vector<float>& row) {
  std::vector<float> rows(16 * 32);
  std::copy(row.begin(), row.end(), rows.begin());
  return rows;
}

TEST_CASE("an integer product by hand, for each type") {
  // Weights -8, 7, 0.. : q4s scale 1; q4 scale 1, zero 64; q4m scale 1, minimum -8; q8 scale
  // fp16(8/127).
  const auto rows = panel_with_row({-8, 7});
  // amax 127 gives scale 1, so that the codes are the inputs rounded: 127, -2 (from -2.5), 100.
  std::vector<float> x(32);
  x[0] = 127, x[1] = -2.5f, x[2] = 100;
  const float bias = 0.25f;
  const auto product = [&](std::string_view type) {
    const Encoded encoded(type, rows, 1);
    float out = 0;
    const Projection projection{&encoded.weight, {&bias, 1}, {&out, 1, 1}};
    make_reference_backend(Activations::kInt8)
        ->norm_linear({.x = {x.data(), 1, 32}, .projections = {&projection, 1}});
    return out;
  };
  const float exact = -8 * 127 + 7 * -2 + 0.25f;
  CHECK(product("q4sg32") == exact);
  CHECK(product("q4g32") == exact);
  CHECK(product("q4mg32") == exact);
  // Codes -127 and round(7 / scale) = 111.
  const float scale = f16_to_f32(f32_to_f16(8.0f / 127));
  CHECK(product("q8g32") ==
        std::fma(static_cast<float>(-127 * 127 + 111 * -2), scale, 0.0f) + bias);
}

TEST_CASE("two groups are chained with one rounding each, the minimum after the scale") {
  std::vector<float> rows(16 * 64);
  for (int k = 0; k < 64; ++k) rows[k] = 0.1f * static_cast<float>(k % 16) - 0.3f;
  const Encoded encoded("q4mg32", rows, 1);
  const float scale = f16_to_f32(f32_to_f16(0.1f)), minimum = f16_to_f32(f32_to_f16(-0.3f));
  std::vector<float> x(64);
  x[3] = 127, x[40] = -12.7f;  // codes 127 with scale 1; -127 with scale 0.1
  float out = 0;
  const Projection projection{&encoded.weight, {}, {&out, 1, 1}};
  make_reference_backend(Activations::kInt8)
      ->norm_linear({.x = {x.data(), 1, 64}, .projections = {&projection, 1}});

  const float second_scale =
      std::bit_cast<float>(std::bit_cast<uint32_t>(12.7f * (1 / 127.0f)) & ~3u);
  float y = std::fma(3.0f * 127, scale, 0.0f);
  y = std::fma(127.0f, minimum, y);
  y = std::fma(-127.0f * 8 * second_scale, scale, y);
  y = std::fma(-127.0f * second_scale, minimum, y);
  CHECK(out == y);
}

TEST_CASE("float activations and row types are plain sums") {
  std::vector<float> x(32), w(32);
  for (int k = 0; k < 32; ++k) x[k] = static_cast<float>(k), w[k] = 0.5f;
  const Weight weight{kF32, 1, 32, reinterpret_cast<const std::byte*>(w.data()), 128};
  float residual = 2;
  const auto backend = make_reference_backend(Activations::kF32);
  backend->linear_add({.x = {x.data(), 1, 32}, .weight = &weight, .residual = {&residual, 1, 1}});
  CHECK(residual == 2 + 31 * 32 / 2 * 0.5f);

  const Encoded encoded("q4sg32", panel_with_row({-8, 7, 1}), 1);
  float out = 0;
  const Projection projection{&encoded.weight, {}, {&out, 1, 1}};
  x[1] = 0.3f;
  backend->norm_linear({.x = {x.data(), 1, 32}, .projections = {&projection, 1}});
  CHECK(out == static_cast<float>(7 * double{0.3f} + 2));
}

TEST_CASE("a norm divides by the root of the mean square and multiplies by its weight") {
  // mean(x^2) = 32 * 4 / 32 = 4, epsilon 5: divide by 3.
  const std::vector<float> x(32, 2.0f), norm_weight(32, 1.5f), row(32, 1.0f);
  const Weight weight{kF32, 1, 32, reinterpret_cast<const std::byte*>(row.data()), 128};
  float logit = 0;
  const std::vector<int32_t> rows = {0};
  make_reference_backend(Activations::kInt8)
      ->logits({.x = {x.data(), 1, 32},
                .rows = rows,
                .norm = {.weight = {norm_weight.data(), 32}, .epsilon = 5},
                .head = &weight,
                .out = {&logit, 1, 1}});
  CHECK(logit == 32.0f);
}

TEST_CASE("a gate is x / (1 + exp(-x)) times the other projection") {
  const std::vector<float> x(32, 1.0f), gate(32, 0.03125f), up(32, 0.125f);
  const Weight gate_weight{kF32, 1, 32, reinterpret_cast<const std::byte*>(gate.data()), 128};
  const Weight up_weight{kF32, 1, 32, reinterpret_cast<const std::byte*>(up.data()), 128};
  float out = 0;
  make_reference_backend(Activations::kInt8)
      ->gated_linear(
          {.x = {x.data(), 1, 32}, .gate = &gate_weight, .up = &up_weight, .out = {&out, 1, 1}});
  CHECK(out == doctest::Approx(4 * 0.7310585786300049).epsilon(1e-7));  // 4 * sigmoid(1)
}

TEST_CASE("embedding gathers one row of a panel") {
  std::vector<float> rows(16 * 32);
  for (int r = 0; r < 16; ++r) rows[r * 32] = static_cast<float>(-8 * r);
  const Encoded encoded("q4sg32", rows, 16);
  std::vector<float> out(2 * 32);
  const std::vector<int32_t> ids = {3, 15};
  make_reference_backend(Activations::kInt8)
      ->embed({.ids = ids, .table = &encoded.weight, .out = {out.data(), 2, 32}});
  CHECK(out[0] == -24);
  CHECK(out[32] == -120);
  CHECK(out[1] == 0);
}

TEST_CASE("a quarter turn swaps the halves of a head, then two positions are averaged") {
  const KvLayout layout{KvType::kF32, 1, 4};
  std::vector<std::byte> cache(2 * layout.block_bytes());
  const KvLayer kv{layout, cache.data()};
  std::vector<float> q = {1, 2, 3, 4}, k = {5, 6, 7, 8}, v = {10, 20, 30, 40};
  const std::vector<float> cosine = {0, 1}, sine = {1, 0};  // pair 0 by 90 degrees, pair 1 not
  const std::vector<int32_t> table = {1};
  const auto backend = make_reference_backend(Activations::kInt8);
  const auto store = [&](int64_t position) {
    const BatchSegment segment{0, 1, position, table};
    backend->rope_store_kv({.q = {q.data(), 1, 1, 4},
                            .k = {k.data(), 1, 1, 4},
                            .v = {v.data(), 1, 1, 4},
                            .rope = {{cosine.data(), 1, 2}, {sine.data(), 1, 2}},
                            .kv = kv,
                            .segments = {&segment, 1}});
  };
  store(0);
  CHECK(q == std::vector<float>{-3, 2, 1, 4});
  CHECK(k == std::vector<float>{-7, 6, 5, 8});
  const auto* key = reinterpret_cast<const float*>(kv.keys(1, 0));
  CHECK(key[0] == -7);
  CHECK(key[16] == 6);  // channel 1: the next line of 16 positions
  const auto* value = reinterpret_cast<const float*>(kv.values(1, 0));
  CHECK(value[1] == 20);

  k = {0, 0, 0, 0};
  v = {30, 0, -10, 40};
  store(1);
  CHECK(value[4] == 30);

  // q = 0: both positions weigh the same. Then q with score ln 3 * scale for position 0 alone.
  std::vector<float> out(4);
  const BatchSegment segment{0, 1, 1, table};
  AttentionArgs attention{.q = {q.data(), 1, 1, 4},
                          .kv = kv,
                          .segments = {&segment, 1},
                          .scale = 0.5f,
                          .out = {out.data(), 1, 1, 4}};
  q = {0, 0, 0, 0};
  backend->attention(attention);
  CHECK(out == std::vector<float>{20, 10, 10, 40});
  q = {0, 0, 2 * std::log(3.0f) / 5, 0};  // score ln 3: weights 3/4 and 1/4
  backend->attention(attention);
  CHECK(out[0] == doctest::Approx(15).epsilon(1e-6));
  CHECK(out[1] == doctest::Approx(15).epsilon(1e-6));
  CHECK(out[2] == doctest::Approx(20).epsilon(1e-6));
}

}  // namespace
}  // namespace mica
