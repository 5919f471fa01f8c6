#include "lib/tensor/dtype.h"

#include <doctest/doctest.h>
#include <limits>

#include "tests/support/error_of.h"

using namespace mica;
using mica::testing::error_of;

namespace {

constexpr DType kQ4G32{.type = 16,
                       .group = 32,
                       .layout = TensorLayout::kPanels,
                       .code_bits = 4,
                       .scale_bytes = 2,
                       .offset_bytes = 1};
constexpr DType kQ8G32{
    .type = 17, .group = 32, .layout = TensorLayout::kPanels, .code_bits = 8, .scale_bytes = 2};
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

}  // namespace

TEST_CASE("float tensors are rows without padding") {
  CHECK(padded_rows(kF32, 17) == 17);
  CHECK(slab_stride(kF32, 100, "x") == 400);
  CHECK(slab_stride(kBF16, 100, "x") == 200);
  CHECK(tensor_bytes(kF16, 3, 5, "x") == 30);
  CHECK(tensor_bytes(kF32, 0, 5, "x") == 0);
  CHECK(bits_per_weight(kF32) == 32);
  CHECK(bits_per_weight(kBF16) == 16);
}

TEST_CASE("panels are slabs of sixteen rows: codes, scales, offsets, padded to 64 bytes") {
  // K = 64: 16 * 64 / 2 = 512 codes, 2 groups * 16 rows * (2 + 1) = 96, together 608 -> 640.
  CHECK(slab_stride(kQ4G32, 64, "x") == 640);
  // K = 576, the demo model: 4608 + 18 * 48 = 5472 -> 5504.
  CHECK(slab_stride(kQ4G32, 576, "x") == 5504);
  // K = 64: 1024 + 2 * 16 * 2 = 1088, a multiple of 64 already.
  CHECK(slab_stride(kQ8G32, 64, "x") == 1088);
  CHECK(padded_rows(kQ4G32, 1) == 16);
  CHECK(padded_rows(kQ4G32, 16) == 16);
  CHECK(padded_rows(kQ4G32, 17) == 32);
  CHECK(tensor_bytes(kQ4G32, 17, 64, "x") == 2 * 640);
  CHECK(bits_per_weight(kQ4G32) == 4.75);
  CHECK(bits_per_weight(kQ8G32) == 8.5);
}

TEST_CASE("a group must divide the row") {
  const Error error = error_of([] { tensor_bytes(kQ4G32, 16, 33, "m.mica: tensor 'x'"); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message() ==
        "m.mica: tensor 'x': expected a row length divisible by group 32, found 33");
  DType no_group = kQ4G32;
  no_group.group = 0;
  CHECK_THROWS_AS(slab_stride(no_group, 64, "x"), Error);
}

TEST_CASE("rows of elements that are no whole bytes are refused") {
  for (const uint8_t bits : {0, 4, 12}) {
    const DType odd{.type = 99, .code_bits = bits};
    CHECK_THROWS_AS(tensor_bytes(odd, 1, 1, "x"), Error);
  }
}

TEST_CASE("sizes that overflow are refused, whatever the numbers") {
  DType widest = kQ4G32;
  widest.code_bits = widest.scale_bytes = widest.offset_bytes = 255;
  for (const uint64_t big : {kMax, kMax - 31, uint64_t{1} << 63, uint64_t{1} << 60}) {
    CAPTURE(big);
    CHECK_THROWS_AS(tensor_bytes(kF32, big, 8, "x"), Error);
    CHECK_THROWS_AS(tensor_bytes(kF32, 8, big, "x"), Error);
    CHECK_THROWS_AS(tensor_bytes(kQ4G32, big, 64, "x"), Error);
    CHECK_THROWS_AS(tensor_bytes(kQ4G32, 64, big / 32 * 32, "x"), Error);
    CHECK_THROWS_AS(tensor_bytes(widest, 64, big / 32 * 32, "x"), Error);
  }
}
