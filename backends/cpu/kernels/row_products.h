// Products with row-major f32, f16 and bf16 weights for few tokens, bound by the memory: four rows
// at a time, lanes along K. Larger products go to the BLAS module.
#pragma once

#include "backends/cpu/kernels/kernels.h"

namespace mica::cpu {
namespace {

template <RowFormat kFormat>
constexpr int64_t kElementBytes = kFormat == RowFormat::kF32 ? 4 : 2;

template <RowFormat kFormat>
MICA_INLINE Floats load_elements(const std::byte* from) {
  if constexpr (kFormat == RowFormat::kF32) return load<Floats>(from);
  if constexpr (kFormat == RowFormat::kF16) return load_halves(from);
  if constexpr (kFormat == RowFormat::kBF16) return as<Floats>(load_shorts(from) << 16);
}
template <RowFormat kFormat>
MICA_INLINE Floats load_first_elements(const std::byte* from, int64_t count) {
  std::byte element[kLanes * kElementBytes<kFormat>] = {};
  __builtin_memcpy(element, from, count * kElementBytes<kFormat>);
  return load_elements<kFormat>(element);
}

template <RowFormat kFormat, int kRows>
void dot_rows(const std::byte* first, int64_t cols, const float* x, float* y) {
  constexpr int64_t kBytes = kElementBytes<kFormat>;
  const int64_t row_bytes = cols * kBytes;
  // The same place of the next rows, unless they would not stay in the L1 cache.
  const int64_t ahead = kRows * row_bytes <= 32 << 10 ? kRows * row_bytes : 2048;
  Floats total[kRows] = {};
  int64_t k = 0;
  for (; k + kLanes <= cols; k += kLanes) {
    const Floats a = load<Floats>(x + k);
    for (int r = 0; r < kRows; ++r) {
      const std::byte* from = first + r * row_bytes + k * kBytes;
      __builtin_prefetch(from + ahead);
      total[r] = multiply_add(load_elements<kFormat>(from), a, total[r]);
    }
  }
  if (k < cols) {
    const Floats a = load_first<Floats>(x + k, cols - k);
    for (int r = 0; r < kRows; ++r) {
      const std::byte* from = first + r * row_bytes + k * kBytes;
      total[r] = multiply_add(load_first_elements<kFormat>(from, cols - k), a, total[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) y[r] = sum(total[r]);
}

template <RowFormat kFormat>
void dot_all_rows(const Rows& w, const ConstMatrix& x, int64_t tokens, const Matrix& y) {
  constexpr int kRows = 4;
  for (int64_t r = 0; r < w.count;) {
    const std::byte* first = w.first + r * w.cols * kElementBytes<kFormat>;
    const bool whole = r + kRows <= w.count;
    for (int64_t t = 0; t < tokens; ++t) {
      const float* a = x.data + t * x.stride;
      float* out = y.data + t * y.stride + r;
      if (whole) {
        dot_rows<kFormat, kRows>(first, w.cols, a, out);
      } else {
        dot_rows<kFormat, 1>(first, w.cols, a, out);
      }
    }
    r += whole ? kRows : 1;
  }
}

void multiply_rows(const Rows& w, const ConstMatrix& x, int64_t tokens, const Matrix& y) {
  switch (w.format) {
    case RowFormat::kF32:
      return dot_all_rows<RowFormat::kF32>(w, x, tokens, y);
    case RowFormat::kF16:
      return dot_all_rows<RowFormat::kF16>(w, x, tokens, y);
    case RowFormat::kBF16:
      return dot_all_rows<RowFormat::kBF16>(w, x, tokens, y);
  }
}

template <RowFormat kFormat>
void widen_elements(const std::byte* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(to + i, load_elements<kFormat>(from + i * kElementBytes<kFormat>));
  }
  if (i == count) return;
  store_first(to + i, count - i,
              load_first_elements<kFormat>(from + i * kElementBytes<kFormat>, count - i));
}

void widen(RowFormat format, const std::byte* from, int64_t count, float* to) {
  switch (format) {
    case RowFormat::kF32:
      return widen_elements<RowFormat::kF32>(from, count, to);
    case RowFormat::kF16:
      return widen_elements<RowFormat::kF16>(from, count, to);
    case RowFormat::kBF16:
      return widen_elements<RowFormat::kBF16>(from, count, to);
  }
}

// x rounded to bf16, and what is left of it rounded again: 2^-8 of 2^-8 of x are lost at most.
// Infinity and NaN stay in `high` alone.
MICA_INLINE Words round_to_bf16(const Words& bits) {
  return (bits + splat<Words>(0x8000u)) & 0xffff0000u;
}
MICA_INLINE void split_lanes(const Words& x, Words& high, Words& low) {
  for (int i = 0; i < x.kParts; ++i) {
    const auto infinite = (Words::Native)((x.part[i] & 0x7f800000u) == 0x7f800000u);
    const Words part = round_to_bf16(x);
    high.part[i] = (infinite & x.part[i] & 0xffff0000u) | (~infinite & part.part[i]);
  }
  low = round_to_bf16(as<Words>(as<Floats>(x) - as<Floats>(high)));
  for (int i = 0; i < x.kParts; ++i) {
    low.part[i] &= (Words::Native)((x.part[i] & 0x7f800000u) != 0x7f800000u);
  }
}

void split(const float* x, int64_t count, uint16_t* high, uint16_t* low) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const bool whole = i + kLanes <= count;
    Words first, second;
    split_lanes(as<Words>(whole ? load<Floats>(x + i) : load_first<Floats>(x + i, count - i)),
                first, second);
    uint32_t lane[2][kLanes];
    store(lane[0], first >> 16);
    store(lane[1], second >> 16);
    const int64_t lanes = whole ? kLanes : count - i;
    for (int64_t j = 0; j < lanes; ++j) high[i + j] = static_cast<uint16_t>(lane[0][j]);
    for (int64_t j = 0; j < lanes; ++j) low[i + j] = static_cast<uint16_t>(lane[1][j]);
  }
}

}  // namespace
}  // namespace mica::cpu
