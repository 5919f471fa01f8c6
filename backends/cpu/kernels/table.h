// The table of a kernel translation unit: everything before it compiled with the unit's flags.
//
// Included last by kernels_NAME.cpp, after simd/simd_NAME.h.
#pragma once

#include "backends/cpu/kernels/attention_piece.h"
#include "backends/cpu/kernels/decoded_products.h"
#include "backends/cpu/kernels/pointwise.h"
#include "backends/cpu/kernels/quantize.h"
#include "backends/cpu/kernels/row_products.h"
#include "backends/cpu/kernels/stream_products.h"
#include "backends/cpu/kernels/tile_products.h"

namespace mica::cpu {
namespace {

void multiply_few(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y) {
  with_grid(w.format, [&]<Grid kGrid>() { stream_products<kGrid>(w, x, tokens, y); });
}

void multiply_many(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y,
                   std::byte* scratch) {
  with_grid(w.format, [&]<Grid kGrid>() { tile_products<kGrid>(w, x, tokens, y, scratch); });
}

void multiply_decoded(const Panels& w, const ConstMatrix& x, int64_t tokens, const Matrix& y,
                      std::byte* scratch) {
  with_grid(w.format, [&]<Grid kGrid>() { decoded_products<kGrid>(w, x, tokens, y, scratch); });
}

constexpr Kernels make_table(const char* isa) {
  return {.isa = isa,
          .rms_norm = rms_norm,
          .layer_norm = layer_norm,
          .quantize = quantize,
          .multiply_few = multiply_few,
          .multiply_many = multiply_many,
          .few_tokens = kStreamTokens,
          .multiply_decoded = multiply_decoded,
          .multiply_rows = multiply_rows,
          .widen = widen,
          .split = split,
          .store = store_products,
          .add = add_products,
          .activate = activate_products,
          .rotate = rotate,
          .store_key = store_key,
          .store_value = store_value,
          .attend = attend,
          .merge = merge_piece,
          .finish_attention = finish_attention};
}

}  // namespace
}  // namespace mica::cpu
