#include "lib/backend/reference_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lib/base/half.h"
#include "quant/activations.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

template <class Element>
Element element(const std::byte* bytes, int64_t index) {
  Element value;
  std::memcpy(&value, bytes + index * sizeof(Element), sizeof(Element));
  return value;
}

float row_element(const DType& dtype, const std::byte* row, int64_t index) {
  if (dtype == kF32) return element<float>(row, index);
  if (dtype == kF16) return f16_to_f32(element<uint16_t>(row, index));
  return bf16_to_f32(element<uint16_t>(row, index));
}

// One row of weights on its integer grid.
struct IntegerRow {
  const int16_t* q;       // [K]
  const float* scales;    // [K / group]
  const float* minimums;  // [K / group]
  bool has_minimum;
};

// One row of activations.
struct CodedInput {
  const int8_t* codes;  // [K]
  const float* scales;  // [K / group]
};

// One output: groups in order, the two roundings a group of quant/README.md.
float integer_dot(const IntegerRow& w, const CodedInput& a, int64_t groups, int group) {
  float y = 0;
  for (int64_t index = 0; index < groups; ++index) {
    int32_t dot = 0, sum = 0;
    for (int64_t k = index * group; k < (index + 1) * group; ++k) {
      dot += w.q[k] * a.codes[k];
      sum += a.codes[k];
    }
    y = std::fma(static_cast<float>(dot) * a.scales[index], w.scales[index], y);
    if (w.has_minimum) {
      y = std::fma(static_cast<float>(sum) * a.scales[index], w.minimums[index], y);
    }
  }
  return y;
}

std::vector<float> multiply_integers(View<const float> x, const Weight& weight,
                                     const WeightType& type) {
  const int group = weight.dtype.group;
  const int64_t tokens = x.rows(), cols = weight.cols, groups = cols / group;
  std::vector<int8_t> codes(tokens * cols);
  std::vector<float> code_scales(tokens * groups);
  for (int64_t t = 0; t < tokens; ++t) {
    quantize_activations(x.row(t), cols, group, &codes[t * cols], &code_scales[t * groups]);
  }

  std::vector<float> out(tokens * weight.rows);
  std::vector<int16_t> q(kPanelRows * cols);
  std::vector<float> scales(kPanelRows * groups), minimums(kPanelRows * groups);
  for (int64_t n = 0; n < weight.rows; ++n) {
    const int64_t r = n % kPanelRows;
    if (r == 0) {
      type.unpack(weight.data + n / kPanelRows * weight.slab_stride, cols, group,
                  {q.data(), scales.data(), minimums.data()});
    }
    const IntegerRow row{&q[r * cols], &scales[r * groups], &minimums[r * groups],
                         type.has_minimum};
    for (int64_t t = 0; t < tokens; ++t) {
      const CodedInput input{&codes[t * cols], &code_scales[t * groups]};
      out[t * weight.rows + n] = integer_dot(row, input, groups, group);
    }
  }
  return out;
}

std::vector<float> multiply_floats(View<const float> x, const Weight& weight) {
  std::vector<float> out(x.rows() * weight.rows);
  for (int64_t first = 0; first < weight.rows; first += kPanelRows) {
    const int64_t count = std::min<int64_t>(kPanelRows, weight.rows - first);
    const std::vector<float> rows = decode_rows(weight, first, count);
    for (int64_t t = 0; t < x.rows(); ++t) {
      for (int64_t r = 0; r < count; ++r) {
        double sum = 0;
        for (int64_t k = 0; k < weight.cols; ++k) {
          sum += double{x.row(t)[k]} * double{rows[r * weight.cols + k]};
        }
        out[t * weight.rows + first + r] = static_cast<float>(sum);
      }
    }
  }
  return out;
}

}  // namespace

std::vector<float> decode_rows(const Weight& weight, int64_t first, int64_t count) {
  if (const WeightType* type = find_weight_type(weight.dtype)) {
    const int64_t panels = (count + kPanelRows - 1) / kPanelRows;
    std::vector<float> rows(panels * kPanelRows * weight.cols);
    for (int64_t p = 0; p < panels; ++p) {
      type->decode(weight.data + (first / kPanelRows + p) * weight.slab_stride, weight.cols,
                   weight.dtype.group, &rows[p * kPanelRows * weight.cols]);
    }
    rows.resize(count * weight.cols);
    return rows;
  }
  std::vector<float> rows(count * weight.cols);
  for (int64_t i = 0; i < count * weight.cols; ++i) {
    const std::byte* row = weight.data + (first + i / weight.cols) * weight.slab_stride;
    rows[i] = row_element(weight.dtype, row, i % weight.cols);
  }
  return rows;
}

std::vector<float> multiply(View<const float> x, const Weight& weight, Activations activations) {
  const WeightType* type = find_weight_type(weight.dtype);
  if (type == nullptr || activations == Activations::kF32) return multiply_floats(x, weight);
  return multiply_integers(x, weight, *type);
}

std::vector<float> multiply_two_parts(View<const float> x, const Weight& weight,
                                      Activations activations) {
  std::vector<float> y = multiply(x, weight, activations);
  if (find_weight_type(weight.dtype) == nullptr || activations == Activations::kF32) return y;
  const int group = weight.dtype.group;
  std::vector<int8_t> codes(weight.cols);
  std::vector<float> scales(weight.cols / group), rest(x.size());
  for (int64_t t = 0; t < x.rows(); ++t) {
    quantize_activations(x.row(t), weight.cols, group, codes.data(), scales.data());
    for (int64_t k = 0; k < weight.cols; ++k) {
      rest[t * weight.cols + k] = x.row(t)[k] - scales[k / group] * static_cast<float>(codes[k]);
    }
  }
  const std::vector<float> second =
      multiply({rest.data(), x.rows(), weight.cols}, weight, activations);
  for (size_t i = 0; i < y.size(); ++i) y[i] += second[i];
  return y;
}

}  // namespace mica
