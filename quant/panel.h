// The layout N16K4 and everything the panel types have in common: packing, encoding and decoding.
//
// A type is a Codec, a struct of constants and three small functions (see q4.cpp); the templates
// here turn it into a WeightType. All types are affine in their codes:
//
//   w = scale * (kMultiplier * code - zero) + minimum
//
// One 64-byte line of codes (formats/FORMAT.md, "Weight layout"), r < 16, j < 4:
//
//   4-bit, 16 rows x 8 k   byte 4r + j:  low nibble  w[r][k + j],  high nibble  w[r][k + 4 + j]
//   8-bit, 16 rows x 4 k   byte 4r + j:  w[r][k + j]
//
// The codes of all K are followed by the scales [K/g][16] and the offsets [K/g][16]; zeros pad the
// slab to 64 bytes. Pure functions; only this file knows where a code lies.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "lib/base/half.h"
#include "quant/weight_type.h"

namespace mica::panel {

constexpr int kMaxGroup = 128;
constexpr int kLineBytes = 64;
static_assert(kLineBytes == kPanelRows * 8 * 4 / 8);  // 16 rows x 8 codes of 4 bits
static_assert(kLineBytes == kPanelRows * 4 * 8 / 8);  // 16 rows x 4 codes of 8 bits
static_assert(std::endian::native == std::endian::little);

using Constants = GroupConstants;

struct Affine {
  float scale = 0;
  int zero = 0;
  float minimum = 0;
};

struct Extent {
  float low;
  float high;
};

// Slab bytes before padding.
template <class Codec>
constexpr int64_t packed_bytes(int64_t cols, int group) {
  return kPanelRows * (cols * Codec::kCodeBits / 8 + cols / group * (2 + Codec::kOffsetBytes));
}

// Nearest integer, ties to even, for |value| < 2^22: the sum's low mantissa bits are the integer.
inline int32_t round_to_int(float value) {
  return std::bit_cast<int32_t>(value + 12582912.0f) - std::bit_cast<int32_t>(12582912.0f);
}

// NaN becomes `high`, so that no input leads to a code out of range.
inline float clamp(float value, float low, float high) {
  const float capped = value < high ? value : high;
  return capped > low ? capped : low;
}

// Least and greatest of [group] floats; lanes, because compilers keep the order of a plain loop.
inline Extent extent(const float* w, int group) {
  constexpr int kLanes = 8;
  float low[kLanes], high[kLanes];
  for (int j = 0; j < kLanes; ++j) low[j] = high[j] = w[j];
  for (int i = kLanes; i < group; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      low[j] = w[i + j] < low[j] ? w[i + j] : low[j];
      high[j] = w[i + j] > high[j] ? w[i + j] : high[j];
    }
  }
  Extent all{low[0], high[0]};
  for (int j = 1; j < kLanes; ++j) {
    all.low = low[j] < all.low ? low[j] : all.low;
    all.high = high[j] > all.high ? high[j] : all.high;
  }
  return all;
}

// A scale that is within fp16's range whatever became of its computation.
inline uint16_t to_scale(double value) {
  constexpr double kLargestHalf = 65504;
  if (!(value == value)) return 0;
  const double clamped = value > kLargestHalf    ? kLargestHalf
                         : value < -kLargestHalf ? -kLargestHalf
                                                 : value;
  return f32_to_f16(static_cast<float>(clamped));
}

// The step where base = -step * zero.
inline double solve_step(const Moments& m, double zero) {
  const double square = m.cc - 2 * zero * m.c + zero * zero * m.one;
  return square > 0 ? (m.cw - zero * m.w) / square : 0;
}

struct Line {
  double step = 0;
  double base = 0;
};

// Step and base, both free. Codes that are all the same leave the step to chance: then it is 0.
inline Line solve_line(const Moments& m) {
  const double determinant = m.one * m.cc - m.c * m.c;
  if (!(determinant > 1e-9 * m.one * m.cc)) return {0, m.one > 0 ? m.w / m.one : 0};
  const double step = (m.one * m.cw - m.c * m.w) / determinant;
  return {step, (m.w - step * m.c) / m.one};
}

// Codes of one group for all rows.
using GroupCodes = uint8_t[kPanelRows][kMaxGroup];

template <int kCodeBits>
void pack_group(const GroupCodes& codes, int group, std::byte* lines) {
  constexpr int kStep = 32 / kCodeBits;  // k a line
  for (int k = 0; k < group; k += kStep, lines += kLineBytes) {
    for (int r = 0; r < kPanelRows; ++r) {
      uint32_t word, high = 0;
      std::memcpy(&word, &codes[r][k], 4);
      if constexpr (kCodeBits == 4) std::memcpy(&high, &codes[r][k + 4], 4);
      word |= high << 4;
      std::memcpy(lines + 4 * r, &word, 4);
    }
  }
}

template <int kCodeBits>
void unpack_group(const std::byte* lines, int group, GroupCodes& codes) {
  constexpr int kStep = 32 / kCodeBits;
  for (int k = 0; k < group; k += kStep, lines += kLineBytes) {
    for (int r = 0; r < kPanelRows; ++r) {
      uint32_t word;
      std::memcpy(&word, lines + 4 * r, 4);
      if constexpr (kCodeBits == 4) {
        const uint32_t high = word >> 4 & 0x0f0f0f0fu;
        word &= 0x0f0f0f0fu;
        std::memcpy(&codes[r][k + 4], &high, 4);
      }
      std::memcpy(&codes[r][k], &word, 4);
    }
  }
}

// The planes of one group in a slab.
template <class Codec, class Byte>
struct GroupPlace {
  Byte* codes;
  Byte* scales;
  Byte* offsets;

  GroupPlace(Byte* slab, int64_t cols, int group, int64_t index)
      : codes(slab + kPanelRows * index * group * Codec::kCodeBits / 8),
        scales(slab + kPanelRows * (cols * Codec::kCodeBits / 8 + index * 2)),
        offsets(slab + kPanelRows * (cols * Codec::kCodeBits / 8 + cols / group * 2 +
                                     index * Codec::kOffsetBytes)) {}

  void store(int row, Constants constants) const {
    std::memcpy(scales + 2 * row, &constants.scale, 2);
    std::memcpy(offsets + Codec::kOffsetBytes * row, &constants.offset, Codec::kOffsetBytes);
  }
  Constants load(int row) const {
    Constants constants;
    std::memcpy(&constants.scale, scales + 2 * row, 2);
    std::memcpy(&constants.offset, offsets + Codec::kOffsetBytes * row, Codec::kOffsetBytes);
    return constants;
  }
};

template <class Codec>
void clear_padding(int64_t cols, int group, std::byte* slab) {
  const int64_t bytes = packed_bytes<Codec>(cols, group);
  std::memset(slab + bytes, 0, -bytes & (kSlabAlignment - 1));
}

template <class Codec>
void choose_codes(const float* w, int group, const Affine& affine, uint8_t* codes) {
  const float step = affine.scale * Codec::kMultiplier;
  const float inverse = step == 0 ? 0 : 1 / step;
  const float shift = static_cast<float>(affine.zero) / Codec::kMultiplier;
  for (int i = 0; i < group; ++i) {
    const float code = (w[i] - affine.minimum) * inverse + shift;
    codes[i] = static_cast<uint8_t>(round_to_int(clamp(code, Codec::kLowCode, Codec::kHighCode)));
  }
}

template <class Codec>
void encode(const float* rows, int64_t cols, int group, std::byte* slab) {
  for (int64_t index = 0; index < cols / group; ++index) {
    const GroupPlace<Codec, std::byte> place(slab, cols, group, index);
    GroupCodes codes;
    for (int r = 0; r < kPanelRows; ++r) {
      const float* w = rows + r * cols + index * group;
      const Constants constants = Codec::fit(extent(w, group));
      choose_codes<Codec>(w, group, Codec::affine(constants), codes[r]);
      place.store(r, constants);
    }
    pack_group<Codec::kCodeBits>(codes, group, place.codes);
  }
  clear_padding<Codec>(cols, group, slab);
}

template <class Codec>
void pack(const uint8_t* codes, const Constants* constants, int64_t cols, int group,
          std::byte* slab) {
  const int64_t groups = cols / group;
  for (int64_t index = 0; index < groups; ++index) {
    const GroupPlace<Codec, std::byte> place(slab, cols, group, index);
    GroupCodes group_codes;
    for (int r = 0; r < kPanelRows; ++r) {
      std::memcpy(group_codes[r], codes + r * cols + index * group, group);
      place.store(r, constants[r * groups + index]);
    }
    pack_group<Codec::kCodeBits>(group_codes, group, place.codes);
  }
  clear_padding<Codec>(cols, group, slab);
}

template <class Codec>
Constants fit(float low, float high) {
  return Codec::fit({low, high});
}

template <class Codec>
GroupGrid grid(Constants constants) {
  const Affine affine = Codec::affine(constants);
  return {affine.scale * Codec::kMultiplier,
          affine.minimum - affine.scale * static_cast<float>(affine.zero)};
}

template <class Codec>
void decode(const std::byte* slab, int64_t cols, int group, float* rows) {
  for (int64_t index = 0; index < cols / group; ++index) {
    const GroupPlace<Codec, const std::byte> place(slab, cols, group, index);
    GroupCodes codes;
    unpack_group<Codec::kCodeBits>(place.codes, group, codes);
    for (int r = 0; r < kPanelRows; ++r) {
      const Affine affine = Codec::affine(place.load(r));
      float* w = rows + r * cols + index * group;
      for (int i = 0; i < group; ++i) {
        const int q = Codec::kMultiplier * codes[r][i] - affine.zero;
        w[i] = affine.scale * static_cast<float>(q) + affine.minimum;
      }
    }
  }
}

template <class Codec>
void unpack(const std::byte* slab, int64_t cols, int group, const UnpackedPanel& out) {
  const int64_t groups = cols / group;
  for (int64_t index = 0; index < groups; ++index) {
    const GroupPlace<Codec, const std::byte> place(slab, cols, group, index);
    GroupCodes codes;
    unpack_group<Codec::kCodeBits>(place.codes, group, codes);
    for (int r = 0; r < kPanelRows; ++r) {
      const Affine affine = Codec::affine(place.load(r));
      out.scales[r * groups + index] = affine.scale;
      out.minimums[r * groups + index] = affine.minimum;
      int16_t* q = out.q + r * cols + index * group;
      for (int i = 0; i < group; ++i) {
        q[i] = static_cast<int16_t>(Codec::kMultiplier * codes[r][i] - affine.zero);
      }
    }
  }
}

template <class Codec>
int64_t encode_grid(const GridRows& grid, int64_t first, std::byte* slab) {
  const int group = grid.kind.group;
  const int64_t groups = grid.cols / group;
  const int shift = Codec::grid_shift(grid.kind);
  int64_t requantized = 0;
  for (int64_t index = 0; index < groups; ++index) {
    const GroupPlace<Codec, std::byte> place(slab, grid.cols, group, index);
    GroupCodes codes;
    for (int r = 0; r < kPanelRows; ++r) {
      const int64_t row = first + r;
      if (row >= grid.rows) {
        std::memset(codes[r], Codec::kZeroCode, group);
        place.store(r, {});
        continue;
      }
      const uint8_t* source = grid.codes.data() + row * grid.cols + index * group;
      int below = 0;
      for (int i = 0; i < group; ++i) {
        const int code = source[i] + shift;
        below += code < Codec::kLowCode;
        codes[r][i] = static_cast<uint8_t>(code < Codec::kLowCode ? Codec::kLowCode : code);
      }
      requantized += below;
      const int64_t at = row * groups + index;
      const float minimum = grid.kind.has_minimum ? grid.minimums[at] : 0;
      place.store(r, Codec::from_grid(grid.scales[at], minimum, grid.kind));
    }
    pack_group<Codec::kCodeBits>(codes, group, place.codes);
  }
  clear_padding<Codec>(grid.cols, group, slab);
  return requantized;
}

// Whether the codes of `kind`, moved by grid_shift(), are codes of the type.
template <class Codec>
bool holds_codes(const GridKind& kind) {
  const int shift = Codec::grid_shift(kind);
  return kind.bits > 0 && is_group(kind.group) && shift >= 0 &&
         (1 << kind.bits) - 1 + shift <= Codec::kHighCode;
}

template <class Codec>
constexpr WeightType make_type(uint16_t id, const char* prefix, bool (*carries)(const GridKind&)) {
  return {.id = id,
          .prefix = prefix,
          .code_bits = Codec::kCodeBits,
          .scale_bytes = 2,
          .offset_bytes = Codec::kOffsetBytes,
          .has_minimum = Codec::kHasMinimum,
          .low_code = Codec::kLowCode,
          .high_code = Codec::kHighCode,
          .encode = encode<Codec>,
          .decode = decode<Codec>,
          .unpack = unpack<Codec>,
          .carries = carries,
          .encode_grid = encode_grid<Codec>,
          .fit = fit<Codec>,
          .solve = Codec::solve,
          .grid = grid<Codec>,
          .pack = pack<Codec>};
}

}  // namespace mica::panel
