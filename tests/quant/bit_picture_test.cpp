// Slabs against bytes written by hand from the bit pictures of formats/FORMAT.md.
#include <doctest/doctest.h>
#include <functional>

#include "lib/base/half.h"
#include "tests/quant/slab.h"

namespace mica {
namespace {

constexpr int kCols = 64, kGroup = 32, kGroups = 2;

// Rows that differ from one another and use every code; power of two scales are exact in fp16.
int test_code4(int r, int k) {
  return (k + r) % 16;
}
float test_scale(int r, int k) {
  return 0x1p-3f * static_cast<float>(1 << (r % 4 + k / kGroup));
}

std::vector<float> make_rows(const std::function<float(int, int)>& weight) {
  std::vector<float> rows;
  for (int r = 0; r < kPanelRows; ++r) {
    for (int k = 0; k < kCols; ++k) rows.push_back(weight(r, k));
  }
  return rows;
}

int byte_at(const std::vector<std::byte>& slab, size_t index) {
  return std::to_integer<int>(slab[index]);
}
uint16_t half_at(const std::vector<std::byte>& slab, size_t index) {
  return static_cast<uint16_t>(byte_at(slab, index) | byte_at(slab, index + 1) << 8);
}

// Code bytes, then the scale plane. Returns where the scale plane ends.
size_t check_codes4_and_scales(const std::vector<std::byte>& slab) {
  for (int line = 0; line < kCols / 8; ++line) {
    for (int r = 0; r < 16; ++r) {
      for (int j = 0; j < 4; ++j) {
        const int byte = byte_at(slab, line * 64 + 4 * r + j);
        CHECK((byte & 15) == test_code4(r, 8 * line + j));
        CHECK((byte >> 4) == test_code4(r, 8 * line + 4 + j));
      }
    }
  }
  const size_t scales = 16 * kCols / 2;
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < 16; ++r) {
      CHECK(half_at(slab, scales + 2 * (g * 16 + r)) == f32_to_f16(test_scale(r, g * kGroup)));
    }
  }
  return scales + 2 * 16 * kGroups;
}

void check_zeros(const std::vector<std::byte>& slab, size_t from) {
  CHECK(slab.size() % 64 == 0);
  CHECK(slab.size() - from < 64);
  for (size_t i = from; i < slab.size(); ++i) CHECK(byte_at(slab, i) == 0);
}

TEST_CASE("q4s: nibbles of 16 rows by 8 k in a line, scales behind") {
  const auto rows = make_rows(
      [](int r, int k) { return test_scale(r, k) * static_cast<float>(test_code4(r, k) - 8); });
  const auto slab = encode(weight_type("q4s"), rows, kGroup);
  // Row 0 counts 0..15: k 0..3 in the low nibbles of line 0, k 4..7 in the high ones.
  const int row0_line0[] = {0x40, 0x51, 0x62, 0x73}, row0_line1[] = {0xc8, 0xd9, 0xea, 0xfb};
  const int row15_line0[] = {0x3f, 0x40, 0x51, 0x62};  // 15, 0, 1, 2, ...
  for (int j = 0; j < 4; ++j) {
    CHECK(byte_at(slab, j) == row0_line0[j]);
    CHECK(byte_at(slab, 64 + j) == row0_line1[j]);
    CHECK(byte_at(slab, 60 + j) == row15_line0[j]);
  }
  CHECK(half_at(slab, 512) == 0x3000);      // 0.125, row 0, group 0
  CHECK(half_at(slab, 512 + 2) == 0x3400);  // 0.25, row 1
  check_zeros(slab, check_codes4_and_scales(slab));
  CHECK(decode(weight_type("q4s"), slab, kCols, kGroup) == rows);
}

TEST_CASE("q4: zeros in eighths, one byte a group and row, behind the scales") {
  // Row r has zero point (r + 0.5) / 2 = (4 r + 2) / 8, within 0..15 for all rows.
  const auto rows = make_rows([](int r, int k) {
    return test_scale(r, k) *
           (static_cast<float>(test_code4(r, k)) - static_cast<float>(4 * r + 2) / 8);
  });
  const auto slab = encode(weight_type("q4"), rows, kGroup);
  const size_t zeros = check_codes4_and_scales(slab);
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < 16; ++r) CHECK(byte_at(slab, zeros + g * 16 + r) == 4 * r + 2);
  }
  check_zeros(slab, zeros + 16 * kGroups);
  CHECK(decode(weight_type("q4"), slab, kCols, kGroup) == rows);
}

TEST_CASE("q4m: fp16 minimums behind the scales") {
  const auto rows = make_rows([](int r, int k) {
    return test_scale(r, k) * static_cast<float>(test_code4(r, k)) + 0.5f - static_cast<float>(r);
  });
  const auto slab = encode(weight_type("q4m"), rows, kGroup);
  const size_t minimums = check_codes4_and_scales(slab);
  CHECK(half_at(slab, minimums) == 0x3800);           // 0.5
  CHECK(half_at(slab, minimums + 2 * 15) == 0xcb40);  // -14.5
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < 16; ++r) {
      CHECK(half_at(slab, minimums + 2 * (g * 16 + r)) == f32_to_f16(0.5f - static_cast<float>(r)));
    }
  }
  check_zeros(slab, minimums + 2 * 16 * kGroups);
  CHECK(decode(weight_type("q4m"), slab, kCols, kGroup) == rows);
}

TEST_CASE("q8: bytes of 16 rows by 4 k in a line, stored + 128") {
  // -127 at the beginning of each group, so that its scale is exact.
  const auto integer = [](int r, int k) {
    return k % 32 == 0 ? -127 : (k * 7 + r * 11) % 255 - 127;
  };
  const auto rows =
      make_rows([&](int r, int k) { return test_scale(r, k) * static_cast<float>(integer(r, k)); });
  const auto slab = encode(weight_type("q8"), rows, kGroup);
  const int row0_line0[] = {1, 8, 15, 22};  // -127, -120, -113, -106
  for (int j = 0; j < 4; ++j) CHECK(byte_at(slab, j) == row0_line0[j]);
  for (int k = 0; k < kCols; ++k) {
    for (int r = 0; r < 16; ++r) {
      CHECK(byte_at(slab, k / 4 * 64 + 4 * r + k % 4) == integer(r, k) + 128);
    }
  }
  const size_t scales = 16 * kCols;
  for (int g = 0; g < kGroups; ++g) {
    for (int r = 0; r < 16; ++r) {
      CHECK(half_at(slab, scales + 2 * (g * 16 + r)) == f32_to_f16(test_scale(r, g * kGroup)));
    }
  }
  check_zeros(slab, scales + 2 * 16 * kGroups);
  CHECK(decode(weight_type("q8"), slab, kCols, kGroup) == rows);
}

TEST_CASE("rows of zeros, as padding is, have scale and offset 0 and the code that stands for 0") {
  const std::pair<const char*, int> code_bytes[] = {
      {"q4", 0x00}, {"q4s", 0x88}, {"q4m", 0x00}, {"q8", 128}};
  for (const auto& [prefix, code_byte] : code_bytes) {
    const WeightType& type = weight_type(prefix);
    CAPTURE(type.prefix);
    const auto slab = encode(type, std::vector<float>(kPanelRows * kCols), kGroup);
    const size_t codes = kPanelRows * kCols * type.code_bits / 8;
    for (size_t i = 0; i < slab.size(); ++i) {
      CHECK(byte_at(slab, i) == (i < codes ? code_byte : 0));
    }
  }
}

TEST_CASE("unpacked integers, scales and minimums give the decoded weights") {
  const auto rows = make_rows(
      [](int r, int k) { return static_cast<float>((r * 37 + k * 101) % 211 - 105) * 0.013f; });
  for (const WeightType* type : weight_types()) {
    CAPTURE(type->prefix);
    const auto slab = encode(*type, rows, kGroup);
    const auto decoded = decode(*type, slab, kCols, kGroup);
    std::vector<int16_t> q(16 * kCols);
    std::vector<float> scales(16 * kGroups), minimums(16 * kGroups);
    type->unpack(slab.data(), kCols, kGroup, {q.data(), scales.data(), minimums.data()});
    for (int i = 0; i < 16 * kCols; ++i) {
      CHECK(q[i] >= -128);
      CHECK(q[i] <= 127);
      const float product = scales[i / kGroup] * static_cast<float>(q[i]);  // exact
      CHECK(product + minimums[i / kGroup] == decoded[i]);
      if (!type->has_minimum) CHECK(minimums[i / kGroup] == 0);
    }
  }
}

}  // namespace
}  // namespace mica
