#include "formats/gguf_blocks.h"

#include <cstring>
#include <iterator>

#include "formats/float_rows.h"
#include "lib/base/half.h"

namespace mica {
namespace {

// A block as it lies in the file; no alignment is needed.
template <class Block>
Block load_block(const std::byte* blocks, int64_t index) {
  Block block;
  std::memcpy(&block, blocks + index * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

// 32 weights: low nibbles are the first 16, high nibbles the last 16.
void unpack_nibbles(const uint8_t (&packed)[16], uint8_t* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = packed[j] & 0x0f;
    codes[j + 16] = packed[j] >> 4;
  }
}

// Bit j of `bits` becomes bit 4 of code j.
void add_fifth_bits(const uint8_t (&bits)[4], uint8_t* codes) {
  for (int j = 0; j < 32; ++j) codes[j] |= ((bits[j / 8] >> (j % 8)) & 1) << 4;
}

struct BlockQ4_0 {
  uint16_t scale;
  uint8_t packed[16];
};
static_assert(sizeof(BlockQ4_0) == 18);

void unpack_q4_0(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ4_0>(blocks, b);
    out.scales[b] = f16_to_f32(block.scale);
    unpack_nibbles(block.packed, out.codes + 32 * b);
  }
}

struct BlockQ4_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t packed[16];
};
static_assert(sizeof(BlockQ4_1) == 20);

void unpack_q4_1(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ4_1>(blocks, b);
    out.scales[b] = f16_to_f32(block.scale);
    out.minimums[b] = f16_to_f32(block.minimum);
    unpack_nibbles(block.packed, out.codes + 32 * b);
  }
}

struct BlockQ5_0 {
  uint16_t scale;
  uint8_t fifth_bits[4];
  uint8_t packed[16];
};
static_assert(sizeof(BlockQ5_0) == 22);

void unpack_q5_0(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ5_0>(blocks, b);
    out.scales[b] = f16_to_f32(block.scale);
    unpack_nibbles(block.packed, out.codes + 32 * b);
    add_fifth_bits(block.fifth_bits, out.codes + 32 * b);
  }
}

struct BlockQ5_1 {
  uint16_t scale;
  uint16_t minimum;
  uint8_t fifth_bits[4];
  uint8_t packed[16];
};
static_assert(sizeof(BlockQ5_1) == 24);

void unpack_q5_1(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ5_1>(blocks, b);
    out.scales[b] = f16_to_f32(block.scale);
    out.minimums[b] = f16_to_f32(block.minimum);
    unpack_nibbles(block.packed, out.codes + 32 * b);
    add_fifth_bits(block.fifth_bits, out.codes + 32 * b);
  }
}

struct BlockQ8_0 {
  uint16_t scale;
  uint8_t values[32];  // int8
};
static_assert(sizeof(BlockQ8_0) == 34);

void unpack_q8_0(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ8_0>(blocks, b);
    out.scales[b] = f16_to_f32(block.scale);
    for (int j = 0; j < 32; ++j) out.codes[32 * b + j] = block.values[j] ^ 0x80;  // value + 128
  }
}

// Scales and minimums of the eight groups of a K block, six bits each in 12 bytes:
//   bytes 0..3   scale 0..3, above them bits 4, 5 of scale 4..7
//   bytes 4..7   minimum 0..3, above them bits 4, 5 of minimum 4..7
//   bytes 8..11  low nibble scale 4..7, high nibble minimum 4..7 (bits 0..3)
struct ScalesOfK {
  uint8_t bytes[12];
  int scale(int group) const {
    if (group < 4) return bytes[group] & 63;
    return (bytes[group + 4] & 0x0f) | ((bytes[group - 4] >> 6) << 4);
  }
  int minimum(int group) const {
    if (group < 4) return bytes[group + 4] & 63;
    return (bytes[group + 4] >> 4) | ((bytes[group] >> 6) << 4);
  }
};

// w = (d * scale) * code - (dmin * minimum), both products exact: 11 + 6 bits.
void unpack_scales(uint16_t d, uint16_t dmin, const ScalesOfK& packed, float* scales,
                   float* minimums) {
  const float scale = f16_to_f32(d);
  const float minimum = f16_to_f32(dmin);
  for (int group = 0; group < 8; ++group) {
    scales[group] = scale * static_cast<float>(packed.scale(group));
    minimums[group] = -(minimum * static_cast<float>(packed.minimum(group)));
  }
}

struct BlockQ4_K {
  uint16_t d;
  uint16_t dmin;
  ScalesOfK scales;
  uint8_t packed[4][32];  // low nibbles: 32 weights; high nibbles: the next 32
};
static_assert(sizeof(BlockQ4_K) == 144);

void unpack_q4_k(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ4_K>(blocks, b);
    unpack_scales(block.d, block.dmin, block.scales, out.scales + 8 * b, out.minimums + 8 * b);
    uint8_t* codes = out.codes + 256 * b;
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 32; ++j) {
        codes[64 * i + j] = block.packed[i][j] & 0x0f;
        codes[64 * i + 32 + j] = block.packed[i][j] >> 4;
      }
    }
  }
}

struct BlockQ5_K {
  uint16_t d;
  uint16_t dmin;
  ScalesOfK scales;
  uint8_t fifth_bits[32];  // bit g of byte j: bit 4 of weight 32 g + j
  uint8_t packed[4][32];
};
static_assert(sizeof(BlockQ5_K) == 176);

void unpack_q5_k(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ5_K>(blocks, b);
    unpack_scales(block.d, block.dmin, block.scales, out.scales + 8 * b, out.minimums + 8 * b);
    uint8_t* codes = out.codes + 256 * b;
    for (int i = 0; i < 4; ++i) {
      for (int j = 0; j < 32; ++j) {
        const int bits = block.fifth_bits[j] >> (2 * i);
        codes[64 * i + j] = (block.packed[i][j] & 0x0f) | ((bits & 1) << 4);
        codes[64 * i + 32 + j] = (block.packed[i][j] >> 4) | ((bits & 2) << 3);
      }
    }
  }
}

struct BlockQ6_K {
  uint8_t low[2][64];   // low nibbles: weights 0..63 of a half; high nibbles: 64..127
  uint8_t high[2][32];  // bits 2 q, 2 q + 1 of byte j: bits 4, 5 of weight 32 q + j of a half
  int8_t scales[16];
  uint16_t d;
};
static_assert(sizeof(BlockQ6_K) == 210);

void unpack_q6_k(const std::byte* blocks, int64_t count, GridSlice out) {
  for (int64_t b = 0; b < count; ++b) {
    const auto block = load_block<BlockQ6_K>(blocks, b);
    const float d = f16_to_f32(block.d);
    for (int group = 0; group < 16; ++group) {
      out.scales[16 * b + group] = d * static_cast<float>(block.scales[group]);
    }
    for (int half = 0; half < 2; ++half) {
      uint8_t* codes = out.codes + 256 * b + 128 * half;
      for (int j = 0; j < 32; ++j) {
        const uint8_t* low = block.low[half];
        const int high = block.high[half][j];
        codes[j] = (low[j] & 0x0f) | ((high & 3) << 4);
        codes[j + 32] = (low[j + 32] & 0x0f) | ((high & 12) << 2);
        codes[j + 64] = (low[j] >> 4) | (high & 48);
        codes[j + 96] = (low[j + 32] >> 4) | ((high & 192) >> 2);
      }
    }
  }
}

constexpr GridKind grid(int bits, int bias, int group, bool has_minimum) {
  return {.bits = bits, .bias = bias, .group = group, .has_minimum = has_minimum};
}

constexpr GgufType kTypes[] = {
    {0, "F32", 1, 4, {}, false, nullptr, widen_f32},
    {1, "F16", 1, 2, {}, false, nullptr, widen_f16},
    {2, "Q4_0", 32, sizeof(BlockQ4_0), grid(4, 8, 32, false), true, unpack_q4_0, nullptr},
    {3, "Q4_1", 32, sizeof(BlockQ4_1), grid(4, 0, 32, true), true, unpack_q4_1, nullptr},
    {6, "Q5_0", 32, sizeof(BlockQ5_0), grid(5, 16, 32, false), true, unpack_q5_0, nullptr},
    {7, "Q5_1", 32, sizeof(BlockQ5_1), grid(5, 0, 32, true), false, unpack_q5_1, nullptr},
    {8, "Q8_0", 32, sizeof(BlockQ8_0), grid(8, 128, 32, false), true, unpack_q8_0, nullptr},
    {12, "Q4_K", 256, sizeof(BlockQ4_K), grid(4, 0, 32, true), true, unpack_q4_k, nullptr},
    {13, "Q5_K", 256, sizeof(BlockQ5_K), grid(5, 0, 32, true), false, unpack_q5_k, nullptr},
    {14, "Q6_K", 256, sizeof(BlockQ6_K), grid(6, 32, 16, false), false, unpack_q6_k, nullptr},
    {30, "BF16", 1, 2, {}, false, nullptr, widen_bf16},
};

// By number; those that Mica cannot read are here to be refused by name.
constexpr const char* kNames[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",    "NVFP4",    "Q1_0",
    "Q2_0",
};
static_assert(std::size(kNames) == 43);

template <int kGroup>
void groups_to_floats(const GridKind& kind, const GridSlice& in, int64_t groups, float* out) {
  for (int64_t g = 0; g < groups; ++g) {
    const float scale = in.scales[g];
    const uint8_t* codes = in.codes + g * kGroup;
    float* group = out + g * kGroup;
    // Adding a minimum of 0 would turn a product of -0 into +0.
    if (kind.has_minimum) {
      for (int j = 0; j < kGroup; ++j)
        group[j] = scale * static_cast<float>(codes[j]) + in.minimums[g];
    } else {
      for (int j = 0; j < kGroup; ++j) group[j] = scale * static_cast<float>(codes[j] - kind.bias);
    }
  }
}

}  // namespace

const GgufType* find_gguf_type(uint32_t id) {
  for (const GgufType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

const char* gguf_type_name(uint32_t id) {
  return id < std::size(kNames) ? kNames[id] : nullptr;
}

void grid_to_floats(const GridKind& kind, const GridSlice& in, int64_t count, float* out) {
  if (kind.group == 16) return groups_to_floats<16>(kind, in, count / 16, out);
  groups_to_floats<32>(kind, in, count / 32, out);
}

}  // namespace mica
