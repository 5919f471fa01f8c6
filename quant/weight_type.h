// The weight types stored in panels: what a slab's bytes mean, and how floats become such bytes.
//
// One file a type (q4.cpp, q4s.cpp, q4m.cpp, q8.cpp) defines one WeightType; the list in
// meson.build makes the table. The layout N16K4 is described in formats/FORMAT.md, "Weight layout".
//
// The arithmetic of a product with int8 activations is normative (quant/README.md): kernels of
// every ISA give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lib/tensor/dtype.h"
#include "lib/tensor/grid.h"

namespace mica {

// A slab as integers, filled in by WeightType::unpack (caller's memory):
//   w[r][k] = scales[r][k / group] * q[r][k] + minimums[r][k / group]
// These are the factors of the normative products: for q4 q is 8 * code - zero and the scale scale
// / 8.
struct UnpackedPanel {
  int16_t* q;       // [16, cols]
  float* scales;    // [16, cols / group]
  float* minimums;  // [16, cols / group]; zeros for types without
};

struct WeightType {
  uint16_t id;         // DType::type
  const char* prefix;  // "q4"; with its group the name is "q4g32"
  uint8_t code_bits;
  uint8_t scale_bytes;
  uint8_t offset_bytes;
  bool has_minimum;  // products add the minimum's share

  // Rounds 16 rows of floats [16, cols] to the nearest codes and writes one slab (slab_stride
  // bytes). Rows past the tensor's last are zeros. The weights have passed check_weights().
  void (*encode)(const float* rows, int64_t cols, int group, std::byte* slab);
  // The floats a slab stands for, [16, cols].
  void (*decode)(const std::byte* slab, int64_t cols, int group, float* rows);
  void (*unpack)(const std::byte* slab, int64_t cols, int group, const UnpackedPanel& out);
  // Whether rows on this grid can be carried over code by code. Scales are rounded to fp16.
  bool (*carries)(const GridKind& kind);
  // Rows [first, first + 16) of `grid` (missing ones are padding) into one slab of the grid's
  // group. Codes that the type cannot hold become the nearest it can; returns how many. The grid
  // has passed check_weights().
  int64_t (*encode_grid)(const GridRows& grid, int64_t first, std::byte* slab);
};

std::span<const WeightType* const> weight_types();

// The groups that panels come in: 32, 64, 128.
bool is_group(int group);
DType make_dtype(const WeightType& type, int group);
// nullptr for f32, f16, bf16 and for numbers not known here.
const WeightType* find_weight_type(const DType& dtype);
// "q4g32", "f16"; "type 77" for a number not known here.
std::string dtype_name(const DType& dtype);
// Throws Error(kUsage) naming the type and listing those known.
DType parse_dtype(std::string_view name);

}  // namespace mica
