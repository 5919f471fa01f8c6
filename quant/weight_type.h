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

// What a row's group stores beside its codes: the bits of its places in the scale and offset
// planes.
struct GroupConstants {
  uint16_t scale = 0;   // fp16
  uint16_t offset = 0;  // of offset_bytes, meaning by type

  bool operator==(const GroupConstants&) const = default;
};

// The same as numbers: w = step * code + base, rounded once, is what decode() gives.
struct GroupGrid {
  float step = 0;
  float base = 0;
};

// Least squares of a group: the step s and base b that minimize
//   s^2 cc + 2 s b c + b^2 one - 2 (s cw + b w)
// With importances h these are sums: one = sum h, c = sum h code, cc = sum h code^2, w = sum h
// weight, cw = sum h code weight; with a Hessian the same forms over its block.
struct Moments {
  double one = 0, c = 0, cc = 0;
  double w = 0, cw = 0;
};

struct WeightType {
  uint16_t id;         // DType::type
  const char* prefix;  // "q4"; with its group the name is "q4g32"
  uint8_t code_bits;
  uint8_t scale_bytes;
  uint8_t offset_bytes;
  bool has_minimum;  // products add the minimum's share
  uint8_t low_code;  // least and greatest code that may occur
  uint8_t high_code;

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

  // For the algorithms that choose codes themselves. Constants of a group whose weights lie in
  // [low, high], as encode() has them; those that solve `moments` best, as stored (the offset is
  // rounded first, the scale then fits what it became); what constants mean; 16 rows of codes [16,
  // cols] and constants [16, cols / group] as a slab.
  GroupConstants (*fit)(float low, float high);
  GroupConstants (*solve)(const Moments& moments);
  GroupGrid (*grid)(GroupConstants constants);
  void (*pack)(const uint8_t* codes, const GroupConstants* constants, int64_t cols, int group,
               std::byte* slab);
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
