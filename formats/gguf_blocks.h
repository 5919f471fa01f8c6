// Element types of GGUF tensors: geometry, and decoding of blocks onto their integer grid.
//
// Every quantized type here is an affine grid, w = scale * (code - bias) + minimum per group, so
// one function per type (blocks to codes, scales, minimums) serves both reading on the grid and
// reading as floats. All scales and products of scales are exact in float.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/tensor/grid.h"

namespace mica {

// Where decoded blocks go. `minimums` is used by types that have them.
struct GridSlice {
  uint8_t* codes;
  float* scales;
  float* minimums;
};

struct GgufType {
  uint32_t id;
  const char* name;
  uint32_t block_weights;  // consecutive weights of a row that are stored together
  uint32_t block_bytes;
  GridKind grid;     // bits = 0: plain floats
  bool offers_grid;  // read_grid is possible; else the grid is only a step on the way to floats
  void (*unpack)(const std::byte* blocks, int64_t count, GridSlice out);  // nullptr: floats
  void (*widen)(const std::byte* elements, int64_t count, float* out);    // nullptr: blocks
};

// nullptr when Mica cannot read the type.
const GgufType* find_gguf_type(uint32_t id);
// "IQ4_XS"; nullptr for a number that no type has.
const char* gguf_type_name(uint32_t id);

// out = scale * (code - bias) + minimum for `count` weights; count is a multiple of the group.
void grid_to_floats(const GridKind& kind, const GridSlice& in, int64_t count, float* out);

}  // namespace mica
