// How the numbers of a tensor are stored.
//
// A DType describes its own geometry, so that sizes can be computed and a file verified without
// knowing what the bits mean; quant/ knows the meaning of the types stored in panels.
//
// Two layouts exist (formats/FORMAT.md, "Weight layout"):
//   rows    row-major elements of code_bits bits (f32, f16, bf16)
//   panels  N16K4: slabs of 16 rows by all K; in each slab the codes, then `[K/group][16]` scales
//           of scale_bytes, then `[K/group][16]` offsets of offset_bytes, padded to 64 bytes
#pragma once

#include <cstdint>
#include <string_view>

namespace mica {

constexpr int kPanelRows = 16;
constexpr int kSlabAlignment = 64;

enum class TensorLayout : uint8_t { kRows = 0, kPanels = 1 };

struct DType {
  uint16_t type = 0;   // number of the type in the file; FORMAT.md lists them
  uint16_t group = 0;  // weights that share a scale, along K; 0 for rows
  TensorLayout layout = TensorLayout::kRows;
  uint8_t code_bits = 0;     // 4, 8; 16, 32 for floats
  uint8_t scale_bytes = 0;   // per group and row
  uint8_t offset_bytes = 0;  // per group and row

  bool operator==(const DType&) const = default;
};

constexpr DType kF32{.type = 1, .code_bits = 32};
constexpr DType kF16{.type = 2, .code_bits = 16};
constexpr DType kBF16{.type = 3, .code_bits = 16};

// Rows as stored: panels are padded to 16 rows.
uint64_t padded_rows(const DType& dtype, uint64_t rows);
// Distance from one panel to the next; for rows, bytes of one row. [rows, cols] = [N, K].
// Throws Error(kInvalidFile) beginning with `what` on overflow or when group does not divide cols.
uint64_t slab_stride(const DType& dtype, uint64_t cols, std::string_view what);
// Bytes of a whole tensor [rows, cols].
uint64_t tensor_bytes(const DType& dtype, uint64_t rows, uint64_t cols, std::string_view what);
// Bits a weight without row padding: 4.75 for q4g32.
double bits_per_weight(const DType& dtype);

}  // namespace mica
