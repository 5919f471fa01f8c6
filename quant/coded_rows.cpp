#include "quant/coded_rows.h"

#include <algorithm>

#include "quant/group_search.h"
#include "quant/panel.h"

namespace mica {
namespace {

// choose(weights, first column): the constants of a group.
template <class Choose>
void code_groups(const RowsInWork& work, const Choose& choose) {
  const CodedRows& coded = *work.coded;
  for (int64_t row = 0; row < work.weights.rows(); ++row) {
    for (int64_t index = 0; index < coded.groups(); ++index) {
      const int64_t at = index * coded.group;
      const float* w = work.weights.row(row) + at;
      const GroupConstants constants = choose(w, at);
      work.constants(row)[index] = constants;
      choose_codes(*coded.type, constants, w, coded.group, work.codes(row) + at);
    }
  }
}

}  // namespace

CodedRows make_coded_rows(const WeightType& type, int group, int64_t rows, int64_t cols) {
  CodedRows coded{.type = &type, .group = group, .rows = rows, .cols = cols};
  coded.codes.resize(static_cast<size_t>(rows * cols));
  coded.constants.resize(static_cast<size_t>(rows * coded.groups()));
  return coded;
}

void code_plain(const RowsInWork& work) {
  code_groups(work, [&](const float* w, int64_t) {
    const panel::Extent extent = panel::extent(w, work.coded->group);
    return work.coded->type->fit(extent.low, extent.high);
  });
}

void code_nearest(const RowsInWork& work, const float* importance) {
  code_groups(work, [&](const float* w, int64_t at) {
    return search_group(*work.coded->type, w, importance ? importance + at : nullptr,
                        work.coded->group);
  });
}

void decode_row(const CodedRows& coded, int64_t row, float* out) {
  const uint8_t* codes = &coded.codes[row * coded.cols];
  for (int64_t index = 0; index < coded.groups(); ++index) {
    const GroupGrid grid = coded.type->grid(coded.constants[row * coded.groups() + index]);
    for (int64_t i = index * coded.group; i < (index + 1) * coded.group; ++i) {
      out[i] = grid.step * static_cast<float>(codes[i]) + grid.base;
    }
  }
}

std::vector<std::byte> pack_rows(const CodedRows& coded) {
  const WeightType& type = *coded.type;
  const DType dtype = make_dtype(type, coded.group);
  const uint64_t stride = slab_stride(dtype, static_cast<uint64_t>(coded.cols), "pack");
  const int64_t panels = (coded.rows + kPanelRows - 1) / kPanelRows;
  std::vector<std::byte> slabs(static_cast<size_t>(panels) * stride);
  // Padding rows are what encode() makes of zeros.
  const std::vector<float> zeros(static_cast<size_t>(coded.cols));
  CodedRows panel = make_coded_rows(type, coded.group, kPanelRows, coded.cols);
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t first = p * kPanelRows, rows = std::min<int64_t>(kPanelRows, coded.rows - first);
    std::copy_n(&coded.codes[first * coded.cols], rows * coded.cols, panel.codes.begin());
    std::copy_n(&coded.constants[first * coded.groups()], rows * coded.groups(),
                panel.constants.begin());
    for (int64_t row = rows; row < kPanelRows; ++row) {
      for (int64_t index = 0; index < coded.groups(); ++index) {
        panel.constants[row * coded.groups() + index] = {};
        choose_codes(type, {}, zeros.data(), coded.group,
                     &panel.codes[row * coded.cols + index * coded.group]);
      }
    }
    type.pack(panel.codes.data(), panel.constants.data(), coded.cols, coded.group,
              &slabs[p * stride]);
  }
  return slabs;
}

}  // namespace mica
