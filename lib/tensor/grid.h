// Rows of a matrix on an affine integer grid: the common language of importers (which read other
// people's quantized blocks) and quant (which packs them into panels without going through float).
//
//   w[r][k] = scale[r][k / group] * (code[r][k] - bias) + minimum[r][k / group]
#pragma once

#include <cstdint>
#include <vector>

namespace mica {

// What a source's grid looks like, known before any row is read.
struct GridKind {
  int bits = 0;  // codes are 0 .. 2^bits - 1; 0: no grid, floats only
  int bias = 0;
  int group = 0;
  bool has_minimum = false;
};

struct GridRows {
  GridKind kind;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> codes;   // [rows, cols]
  std::vector<float> scales;    // [rows, cols / group]
  std::vector<float> minimums;  // [rows, cols / group], empty without minimum
};

}  // namespace mica
