#include "lib/base/checked.h"

#include <doctest/doctest.h>
#include <limits>

#include "tests/support/error_of.h"

using namespace mica;
using mica::testing::error_of;

namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
constexpr std::byte kEight[8] = {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                 std::byte{5}, std::byte{6}, std::byte{7}, std::byte{8}};

}  // namespace

TEST_CASE("sums and products are exact up to the limit of their type and refused beyond it") {
  CHECK(checked_add(kMax - 1, 1, "x") == kMax);
  CHECK_THROWS_AS(checked_add(kMax, 1, "x"), Error);
  CHECK(checked_mul(kMax / 3, 3, "x") == kMax);
  CHECK_THROWS_AS(checked_mul(kMax / 3 + 1, 3, "x"), Error);
  CHECK(checked_add<int32_t>(-5, 3, "x") == -2);
  CHECK_THROWS_AS(checked_add(std::numeric_limits<int32_t>::min(), -1, "x"), Error);
  CHECK_THROWS_AS(checked_mul(std::numeric_limits<int64_t>::min(), -1, "x"), Error);
}

TEST_CASE("an overflow is an invalid file and its sentence names the thing") {
  const Error error = error_of([] { checked_mul(kMax, 2, "model.mica: tensor 'head': size"); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message() ==
        "model.mica: tensor 'head': size: expected a number in range, found one that overflows");
}

TEST_CASE("a cast keeps the value or is refused") {
  CHECK(checked_cast<int32_t>(uint64_t{0x7fffffff}, "x") == 0x7fffffff);
  CHECK_THROWS_AS(checked_cast<int32_t>(uint64_t{0x80000000}, "x"), Error);
  CHECK_THROWS_AS(checked_cast<uint32_t>(-1, "x"), Error);
  CHECK_THROWS_AS(checked_cast<int64_t>(kMax, "x"), Error);
}

TEST_CASE("aligning up gives the least multiple and never wraps") {
  CHECK(checked_align_up(0, 64, "x") == 0);
  CHECK(checked_align_up(1, 64, "x") == 64);
  CHECK(checked_align_up(64, 64, "x") == 64);
  CHECK(checked_align_up(kMax - 63, 64, "x") == kMax - 63);
  CHECK_THROWS_AS(checked_align_up(kMax - 62, 64, "x"), Error);
}

TEST_CASE("a range includes both its ends") {
  CHECK(checked_range(3, 3, 5, "x") == 3);
  CHECK(checked_range(5, 3, 5, "x") == 5);
  CHECK(error_of([] { checked_range(6, 3, 5, "a.gguf: rank"); }).message() ==
        "a.gguf: rank: expected 3 to 5, found 6");
  CHECK(error_of([] { checked_range(2, 1, 1, "a.gguf: version"); }).message() ==
        "a.gguf: version: expected 1, found 2");
}

TEST_CASE("a slice lies inside the whole, whatever the numbers") {
  const Bytes whole(kEight);
  CHECK(checked_slice(whole, 0, 8, "x").size() == 8);
  CHECK(checked_slice(whole, 8, 0, "x").empty());
  CHECK(checked_slice(whole, 2, 3, "x").data() == kEight + 2);
  struct Slice {
    uint64_t offset, size;
  };
  for (const Slice& s :
       {Slice{0, 9}, {8, 1}, {9, 0}, {kMax, 1}, {1, kMax}, {kMax, kMax}, {4, kMax - 3}}) {
    CAPTURE(s.offset);
    CAPTURE(s.size);
    CHECK_THROWS_AS(checked_slice(whole, s.offset, s.size, "x"), Error);
  }
  CHECK(error_of([&] { checked_slice(whole, 6, 4, "m.mica: header"); }).message() ==
        "m.mica: header: expected 4 bytes at offset 6, found only 8 bytes in all");
}

TEST_CASE("numbers are read little-endian from any alignment") {
  CHECK(load_at<uint32_t>(Bytes(kEight), 1, "x") == 0x05040302u);
  CHECK(load_at<uint64_t>(Bytes(kEight), 0, "x") == 0x0807060504030201u);
  CHECK_THROWS_AS(load_at<uint32_t>(Bytes(kEight), 5, "x"), Error);
}

TEST_CASE("a reader moves over what it read and stays put when it fails") {
  ByteReader reader(Bytes(kEight), "x");
  CHECK(reader.read<uint16_t>() == 0x0201);
  CHECK(reader.read_bytes(3).data() == kEight + 2);
  CHECK(reader.position() == 5);
  CHECK(reader.remaining() == 3);
  CHECK_THROWS_AS(reader.read<uint32_t>(), Error);
  CHECK_THROWS_AS(reader.read_bytes(kMax), Error);
  CHECK(reader.position() == 5);
  CHECK(reader.read_bytes(3).size() == 3);
  CHECK(reader.remaining() == 0);
  CHECK(reader.read_bytes(0).empty());
}
