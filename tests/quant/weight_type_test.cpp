#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <limits>

#include "lib/base/error.h"
#include "quant/check_weights.h"
#include "tests/quant/slab.h"

namespace mica {
namespace {

std::string failure_of(auto&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

TEST_CASE("every type and group is found by the name it gives") {
  int count = 0;
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) {
      const DType dtype = make_dtype(*type, group);
      CHECK(dtype_name(dtype) == std::string(type->prefix) + "g" + std::to_string(group));
      CHECK(parse_dtype(dtype_name(dtype)) == dtype);
      CHECK(find_weight_type(dtype) == type);
      ++count;
    }
  }
  CHECK(count == 12);
  for (const DType& dtype : {kF32, kF16, kBF16}) {
    CHECK(parse_dtype(dtype_name(dtype)) == dtype);
    CHECK(find_weight_type(dtype) == nullptr);
  }
}

TEST_CASE("type numbers and sizes are those of the file format") {
  CHECK(weight_type("q4").id == 16);
  CHECK(weight_type("q4s").id == 17);
  CHECK(weight_type("q4m").id == 18);
  CHECK(weight_type("q8").id == 19);
  CHECK(bits_per_weight(parse_dtype("q4g32")) == 4.75);
  CHECK(bits_per_weight(parse_dtype("q4g128")) == 4.1875);
  CHECK(bits_per_weight(parse_dtype("q4sg64")) == 4.25);
  CHECK(bits_per_weight(parse_dtype("q4mg32")) == 5.0);
  CHECK(bits_per_weight(parse_dtype("q8g32")) == 8.5);
}

TEST_CASE("a dtype that only resembles a type is not taken for it") {
  DType dtype = parse_dtype("q4g32");
  dtype.group = 48;
  CHECK(find_weight_type(dtype) == nullptr);
  dtype = parse_dtype("q4g32");
  dtype.offset_bytes = 2;
  CHECK(find_weight_type(dtype) == nullptr);
  dtype.type = 77;
  CHECK(dtype_name(dtype) == "type 77");
}

TEST_CASE("an unknown name is refused with the list of known ones") {
  const std::string message = failure_of([] { parse_dtype("q5g32"); });
  CHECK(message ==
        "weight type: expected one of f32, f16, bf16, q4g32, q4g64, q4g128, q4sg32, q4sg64, "
        "q4sg128, q4mg32, q4mg64, q4mg128, q8g32, q8g64, q8g128, found 'q5g32'");
}

TEST_CASE("weights that are not finite or outside fp16 are refused with their place") {
  std::vector<float> rows(3 * 32, 65504.0f);
  const View<const float> view(rows.data(), 3, 32);
  const DType dtype = parse_dtype("q4g32");
  CHECK(failure_of([&] { check_weights(view, dtype, 0, "a"); }) == "");
  rows[2 * 32 + 5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(failure_of([&] { check_weights(view, dtype, 16, "tensor 'x'"); }) ==
        "tensor 'x': expected weights within +-65504, found nan at [18, 5]");
  rows[2 * 32 + 5] = -std::numeric_limits<float>::infinity();
  CHECK(failure_of([&] { check_weights(view, dtype, 0, "x"); }).find("-inf at [2, 5]") !=
        std::string::npos);
  rows[2 * 32 + 5] = 65520.0f;
  CHECK(failure_of([&] { check_weights(view, dtype, 0, "x"); }).find("65520") != std::string::npos);
  CHECK(failure_of([&] { check_weights(view, kBF16, 0, "x"); }) == "");
  CHECK(failure_of([&] { check_weights(view, kF16, 0, "x"); }) != "");
  rows[0] = std::numeric_limits<float>::infinity();
  CHECK(failure_of([&] { check_weights(view, kF32, 0, "x"); }) ==
        "x: expected weights that are finite, found inf at [0, 0]");
}

TEST_CASE("scales and minimums of a grid are checked like weights") {
  GridRows grid{
      .kind = {.bits = 4, .bias = 0, .group = 32, .has_minimum = true}, .rows = 2, .cols = 64};
  grid.codes.assign(2 * 64, 0);
  grid.scales.assign(4, 1.0f);
  grid.minimums.assign(4, -1.0f);
  CHECK(failure_of([&] { check_grid(grid, 0, "x"); }) == "");
  grid.minimums[3] = 1e9f;
  CHECK(failure_of([&] { check_grid(grid, 0, "x"); }).find("minimums within +-65504") !=
        std::string::npos);
  grid.scales[1] = std::numeric_limits<float>::infinity();
  CHECK(failure_of([&] { check_grid(grid, 0, "x"); }).find("found inf at [0, 32]") !=
        std::string::npos);
}

}  // namespace
}  // namespace mica
