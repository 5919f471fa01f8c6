// Block types against the meaning of one weight at a time, written down from the bits.
#include "formats/gguf_blocks.h"

#include <bit>
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include "formats/float_rows.h"
#include "lib/base/half.h"

using namespace mica;

namespace {

using Block = const uint8_t*;

float half_at(Block b, int offset) {
  return f16_to_f32(uint16_t(b[offset] | b[offset + 1] << 8));
}
int nibble(uint8_t byte, bool high) {
  return high ? byte >> 4 : byte & 15;
}
int bit(Block bits, int index) {
  return bits[index / 8] >> index % 8 & 1;
}

// Weight k of a block of 32, whose nibbles lie at `codes`.
int code32(Block codes, int k) {
  return nibble(codes[k % 16], k >= 16);
}

float q4_0(Block b, int k) {
  return half_at(b, 0) * float(code32(b + 2, k) - 8);
}
float q4_1(Block b, int k) {
  return half_at(b, 0) * float(code32(b + 4, k)) + half_at(b, 2);
}
float q5_0(Block b, int k) {
  return half_at(b, 0) * float((code32(b + 6, k) | bit(b + 2, k) << 4) - 16);
}
float q5_1(Block b, int k) {
  return half_at(b, 0) * float(code32(b + 8, k) | bit(b + 4, k) << 4) + half_at(b, 2);
}
float q8_0(Block b, int k) {
  return half_at(b, 0) * float(int8_t(b[2 + k]));
}

// Six-bit scale (or, from `base` 4 on, minimum) of group g: the low ones whole in six bits, the
// high ones split.
int six_bits(Block packed, int g, bool minimum) {
  if (g < 4) return packed[g + (minimum ? 4 : 0)] & 63;
  return nibble(packed[g + 4], minimum) | packed[g - 4 + (minimum ? 4 : 0)] >> 6 << 4;
}
float k_weight(Block b, int k, int code) {
  return half_at(b, 0) * float(six_bits(b + 4, k / 32, false)) * float(code) -
         half_at(b, 2) * float(six_bits(b + 4, k / 32, true));
}
int code64(Block codes, int k) {
  return nibble(codes[k / 64 * 32 + k % 32], k % 64 >= 32);
}
float q4_k(Block b, int k) {
  return k_weight(b, k, code64(b + 16, k));
}
float q5_k(Block b, int k) {
  return k_weight(b, k, code64(b + 48, k) | (b[16 + k % 32] >> k / 32 & 1) << 4);
}
float q6_k(Block b, int k) {
  const int half = k / 128, j = k % 128;
  const int low = nibble(b[64 * half + j % 64], j >= 64);
  const int high = b[128 + 32 * half + j % 32] >> (j / 32 * 2) & 3;
  return half_at(b, 208) * float(int8_t(b[192 + k / 16])) * float((low | high << 4) - 32);
}

struct Reference {
  const char* name;
  float (*weight)(Block, int);
  std::vector<int> halves;  // offsets of the scales, which must be finite
};
const Reference kReferences[] = {
    {"Q4_0", q4_0, {0}}, {"Q4_1", q4_1, {0, 2}}, {"Q5_0", q5_0, {0}},    {"Q5_1", q5_1, {0, 2}},
    {"Q8_0", q8_0, {0}}, {"Q4_K", q4_k, {0, 2}}, {"Q5_K", q5_k, {0, 2}}, {"Q6_K", q6_k, {208}},
};

const GgufType& type_of(std::string_view name) {
  uint32_t id = 0;
  while (gguf_type_name(id) != name) ++id;
  return *find_gguf_type(id);
}

}  // namespace

TEST_CASE("every weight of a block is what its bits mean, bit for bit") {
  constexpr int kBlocks = 200;
  std::mt19937 random(1);
  for (const Reference& reference : kReferences) {
    const std::string name = reference.name;
    CAPTURE(name);
    const GgufType& type = type_of(reference.name);
    std::vector<uint8_t> blocks(kBlocks * type.block_bytes);
    for (uint8_t& byte : blocks) byte = uint8_t(random());
    for (int b = 0; b < kBlocks; ++b) {
      // Any sign and mantissa, subnormals too, but neither infinity nor NaN.
      for (const int offset : reference.halves) blocks[b * type.block_bytes + offset + 1] &= 0xbb;
    }
    const int64_t count = kBlocks * type.block_weights;
    std::vector<uint8_t> codes(count);
    std::vector<float> scales(count / type.grid.group), minimums(scales.size()), values(count);
    const GridSlice slice{codes.data(), scales.data(), minimums.data()};
    type.unpack(reinterpret_cast<const std::byte*>(blocks.data()), kBlocks, slice);
    grid_to_floats(type.grid, slice, count, values.data());
    int wrong = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float expected = reference.weight(&blocks[i / type.block_weights * type.block_bytes],
                                              int(i % type.block_weights));
      wrong += std::bit_cast<uint32_t>(expected) != std::bit_cast<uint32_t>(values[i]);
      CHECK_MESSAGE(codes[i] < 1 << type.grid.bits, "a code has more bits than its type");
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a Q8_0 value of -128 is code 0") {
  uint8_t block[34] = {0x00, 0x3c, 0x80, 0x7f, 0x00};  // scale 1, then -128, 127, 0
  uint8_t codes[32];
  float scales[1], values[32];
  const GgufType& type = type_of("Q8_0");
  type.unpack(reinterpret_cast<const std::byte*>(block), 1, {codes, scales, nullptr});
  CHECK(int(codes[0]) == 0);
  CHECK(int(codes[1]) == 255);
  CHECK(int(codes[2]) == 128);
  grid_to_floats(type.grid, {codes, scales, nullptr}, 32, values);
  CHECK(values[0] == -128);
}

TEST_CASE("the types that can be read are those promised, on the grid or not") {
  std::string grids, floats;
  for (uint32_t id = 0; id < 100; ++id) {
    const GgufType* type = find_gguf_type(id);
    if (type == nullptr) continue;
    CHECK(gguf_type_name(id) == std::string_view(type->name));
    (type->offers_grid ? grids : floats) += std::string(type->name) + " ";
  }
  CHECK(grids == "Q4_0 Q4_1 Q5_0 Q8_0 Q4_K ");
  CHECK(floats == "F32 F16 Q5_1 Q5_K Q6_K BF16 ");
  CHECK(gguf_type_name(43) == nullptr);
}

TEST_CASE("all 65536 halves are widened as the scalar conversion does") {
  std::vector<uint16_t> halves(1 << 16);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = uint16_t(i);
  std::vector<float> f16(halves.size()), bf16(halves.size());
  const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
  widen_f16(bytes, int64_t(f16.size()), f16.data());
  widen_bf16(bytes, int64_t(bf16.size()), bf16.data());
  int wrong = 0;
  for (size_t i = 0; i < halves.size(); ++i) {
    wrong += std::bit_cast<uint32_t>(f16[i]) != std::bit_cast<uint32_t>(f16_to_f32(halves[i]));
    wrong += std::bit_cast<uint32_t>(bf16[i]) != uint32_t{halves[i]} << 16;
  }
  CHECK(wrong == 0);
}
