// Rows of a matrix as codes and constants: what the algorithms work on before anything is packed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/tensor/view.h"
#include "quant/weight_type.h"

namespace mica {

struct CodedRows {
  const WeightType* type = nullptr;
  int group = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<uint8_t> codes;             // [rows, cols]
  std::vector<GroupConstants> constants;  // [rows, cols / group]

  int64_t groups() const { return cols / group; }
};

// Rows [first, first + count) of a CodedRows and their weights [count, K], to be worked on.
struct RowsInWork {
  View<const float> weights;
  CodedRows* coded = nullptr;
  int64_t first = 0;

  uint8_t* codes(int64_t row) const { return &coded->codes[(first + row) * coded->cols]; }
  GroupConstants* constants(int64_t row) const {
    return &coded->constants[(first + row) * coded->groups()];
  }
};

CodedRows make_coded_rows(const WeightType& type, int group, int64_t rows, int64_t cols);

// Constants from the groups' extents and the nearest codes: what encode() does.
void code_plain(const RowsInWork& work);

// Searches constants (group_search.h) and rounds to the nearest codes. importance: [K] or null.
void code_nearest(const RowsInWork& work, const float* importance);

// out: [cols], what the codes of a row mean.
void decode_row(const CodedRows& coded, int64_t row, float* out);

// All rows as the slabs of a tensor; rows missing from the last panel are padding.
std::vector<std::byte> pack_rows(const CodedRows& coded);

}  // namespace mica
