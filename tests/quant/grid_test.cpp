#include <doctest/doctest.h>
#include <random>

#include "lib/base/half.h"
#include "tests/quant/slab.h"

namespace mica {
namespace {

constexpr GridKind kQ4_0{.bits = 4, .bias = 8, .group = 32};
constexpr GridKind kQ4_1{.bits = 4, .bias = 0, .group = 32, .has_minimum = true};
constexpr GridKind kQ5_0{.bits = 5, .bias = 16, .group = 32};
constexpr GridKind kQ8_0{.bits = 8, .bias = 128, .group = 32};
constexpr GridKind kQ6_K{.bits = 6, .bias = 32, .group = 16};
constexpr GridKind kIntegerZero{.bits = 4, .bias = 7, .group = 128};

// Random codes of the whole range, fp16 scales of both signs.
GridRows random_grid(const GridKind& kind, int64_t rows, int64_t cols) {
  std::mt19937 random(kind.bits);
  GridRows grid{.kind = kind, .rows = rows, .cols = cols};
  for (int64_t i = 0; i < rows * cols; ++i) {
    grid.codes.push_back(static_cast<uint8_t>(random() % (1u << kind.bits)));
  }
  const auto half = [&] {
    return f16_to_f32(static_cast<uint16_t>(random() % 0x7c00 | (random() & 0x8000)));
  };
  for (int64_t i = 0; i < rows * cols / kind.group; ++i) {
    grid.scales.push_back(half());
    if (kind.has_minimum) grid.minimums.push_back(half());
  }
  return grid;
}

float grid_weight(const GridRows& grid, int64_t row, int64_t k) {
  const int64_t at = (row * grid.cols + k) / grid.kind.group;
  const int code = grid.codes[row * grid.cols + k] - grid.kind.bias;
  const float minimum = grid.kind.has_minimum ? grid.minimums[at] : 0;
  return grid.scales[at] * static_cast<float>(code) + minimum;
}

void check_exact(const WeightType& type, const GridRows& grid, int64_t skipped_code = -1) {
  for (int64_t first = 0; first < grid.rows; first += kPanelRows) {
    auto slab = empty_slab(type, grid.cols, grid.kind.group);
    type.encode_grid(grid, first, slab.data());
    const auto decoded = decode(type, slab, grid.cols, grid.kind.group);
    for (int64_t r = 0; r < kPanelRows; ++r) {
      for (int64_t k = 0; k < grid.cols; ++k) {
        const int64_t row = first + r;
        const float expected = row < grid.rows ? grid_weight(grid, row, k) : 0;
        if (row < grid.rows && grid.codes[row * grid.cols + k] == skipped_code) continue;
        CHECK(decoded[r * grid.cols + k] == expected);
      }
    }
  }
}

TEST_CASE("each source grid is carried by the types that hold it, and by no other") {
  const auto carriers = [](const GridKind& kind) {
    std::string names;
    for (const WeightType* type : weight_types()) {
      if (type->carries(kind)) names += std::string(type->prefix) + " ";
    }
    return names;
  };
  CHECK(carriers(kQ4_0) == "q4 q4s q8 ");
  CHECK(carriers(kQ4_1) == "q4m ");
  CHECK(carriers(kQ5_0) == "q8 ");
  CHECK(carriers(kQ8_0) == "q8 ");
  CHECK(carriers(kQ6_K) == "");
  CHECK(carriers(kIntegerZero) == "q4 q8 ");
  CHECK(carriers({.bits = 5, .group = 32, .has_minimum = true}) == "");
  CHECK(carriers({}) == "");
}

TEST_CASE("grids of Q4_0, Q4_1, Q5_0 and integer zeros are carried over exactly") {
  check_exact(weight_type("q4s"), random_grid(kQ4_0, 35, 96));
  check_exact(weight_type("q4"), random_grid(kQ4_0, 16, 96));
  check_exact(weight_type("q8"), random_grid(kQ4_0, 17, 64));
  check_exact(weight_type("q4m"), random_grid(kQ4_1, 33, 96));
  check_exact(weight_type("q8"), random_grid(kQ5_0, 20, 64));
  check_exact(weight_type("q4"), random_grid(kIntegerZero, 16, 256));
}

TEST_CASE("a Q8_0 grid is carried over exactly but for codes of -128, which become -127") {
  GridRows grid = random_grid(kQ8_0, 19, 64);
  check_exact(weight_type("q8"), grid, 0);

  for (uint8_t& code : grid.codes) code = code == 0 ? 1 : code;
  grid.codes[3] = grid.codes[18 * 64 + 63] = 0;
  auto slab = empty_slab(weight_type("q8"), 64, 32);
  CHECK(weight_type("q8").encode_grid(grid, 0, slab.data()) == 1);
  CHECK(decode(weight_type("q8"), slab, 64, 32)[3] == grid.scales[0] * -127);
  CHECK(weight_type("q8").encode_grid(grid, 16, slab.data()) == 1);
}

TEST_CASE("scales that are no fp16 numbers are rounded to the nearest") {
  GridRows grid = random_grid(kQ4_1, 16, 32);
  grid.scales.assign(16, 0.1f);
  grid.minimums.assign(16, -0.7f);
  auto slab = empty_slab(weight_type("q4m"), 32, 32);
  CHECK(weight_type("q4m").encode_grid(grid, 0, slab.data()) == 0);
  const float scale = f16_to_f32(f32_to_f16(0.1f)), minimum = f16_to_f32(f32_to_f16(-0.7f));
  const auto decoded = decode(weight_type("q4m"), slab, 32, 32);
  for (size_t i = 0; i < decoded.size(); ++i) {
    CHECK(decoded[i] == scale * static_cast<float>(grid.codes[i]) + minimum);
  }
}

TEST_CASE("padding rows of a grid hold codes that are valid and stand for zero") {
  const GridRows grid = random_grid(kQ8_0, 1, 32);
  auto slab = empty_slab(weight_type("q8"), 32, 32);
  weight_type("q8").encode_grid(grid, 0, slab.data());
  for (int line = 0; line < 8; ++line) {
    for (int i = 4; i < 64; ++i) CHECK(slab[line * 64 + i] == std::byte{128});
  }
}

}  // namespace
}  // namespace mica
