#include "lib/runtime/convert_tensor.h"

#include <algorithm>
#include <cmath>
#include <fmt/core.h>

#include "lib/base/half.h"
#include "quant/check_weights.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

constexpr int64_t kChunkWeights = int64_t{1} << 22;
constexpr int64_t kPieceWeights = int64_t{1} << 17;  // of a thread at a time

}  // namespace

TensorEncoder::TensorEncoder(const Importer& importer, const PlannedTensor& planned,
                             const Engine& engine)
    : importer_(importer),
      planned_(planned),
      dtype_(planned.spec.dtype),
      engine_(engine),
      cols_(static_cast<int64_t>(planned.spec.cols)),
      unit_rows_(dtype_.layout == TensorLayout::kPanels ? kPanelRows : 1),
      unit_weights_(unit_rows_ * cols_) {}

void TensorEncoder::run(FunctionRef<void(Bytes)> write) {
  const int64_t rows = static_cast<int64_t>(planned_.spec.rows);
  const int64_t chunk_rows = std::max<int64_t>(1, kChunkWeights / unit_weights_) * unit_rows_;
  for (int64_t first = 0; first < rows; first += chunk_rows) {
    encode_chunk(first, std::min(rows - first, chunk_rows));
    write(encoded_);
  }
}

double TensorEncoder::relative_error() const {
  return weight_square_ > 0 ? std::sqrt(error_square_ / weight_square_) : 0;
}

void TensorEncoder::encode_chunk(int64_t first, int64_t rows) {
  const int64_t units = (rows + unit_rows_ - 1) / unit_rows_;
  const uint64_t stride = slab_stride(dtype_, planned_.spec.cols, "conversion");
  floats_.assign(static_cast<size_t>(units * unit_weights_), 0.0f);
  decoded_.resize(floats_.size());
  encoded_.assign(static_cast<size_t>(units) * stride, std::byte{0});
  error_squares_.assign(static_cast<size_t>(units), 0);
  weight_squares_.assign(static_cast<size_t>(units), 0);
  requantized_codes_.assign(static_cast<size_t>(units), 0);
  const std::string what = fmt::format("{}: tensor '{}'", importer_.model().name,
                                       importer_.model().tensors[planned_.source].source_name);
  if (planned_.carried) {
    importer_.read_grid(planned_.source, first, rows, grid_);
    check_grid(grid_, first, what);
  }
  const int64_t piece = std::max<int64_t>(1, kPieceWeights / unit_weights_);
  const auto lock = engine_.lock();
  engine_.pool().share(units, piece, [&](int, Range part) {
    const int64_t row = part.begin * unit_rows_;
    const int64_t count = std::min(rows, part.end * unit_rows_) - row;
    importer_.read_floats(planned_.source, first + row, count, &floats_[row * cols_]);
    check_weights({&floats_[row * cols_], count, cols_}, dtype_, first + row, what);
    for (int64_t unit = part.begin; unit < part.end; ++unit) {
      requantized_codes_[unit] = encode_unit(unit, &encoded_[unit * stride]);
      measure(unit);
    }
  });
  for (int64_t unit = 0; unit < units; ++unit) {
    error_square_ += error_squares_[unit];
    weight_square_ += weight_squares_[unit];
    requantized_ += requantized_codes_[unit];
  }
}

int64_t TensorEncoder::encode_unit(int64_t unit, std::byte* out) {
  const float* floats = &floats_[unit * unit_weights_];
  float* decoded = &decoded_[unit * unit_weights_];
  if (dtype_.layout == TensorLayout::kRows) {
    encode_row(floats, out, decoded);
    return 0;
  }
  const WeightType& type = *find_weight_type(dtype_);
  int64_t requantized = 0;
  if (planned_.carried) {
    requantized = type.encode_grid(grid_, unit * kPanelRows, out);
  } else {
    type.encode(floats, cols_, dtype_.group, out);
  }
  type.decode(out, cols_, dtype_.group, decoded);
  return requantized;
}

void TensorEncoder::encode_row(const float* floats, std::byte* out, float* decoded) const {
  if (dtype_ == kF32) {
    std::copy_n(floats, cols_, reinterpret_cast<float*>(out));
    std::copy_n(floats, cols_, decoded);
    return;
  }
  auto* halves = reinterpret_cast<uint16_t*>(out);
  for (int64_t k = 0; k < cols_; ++k) {
    halves[k] = dtype_ == kF16 ? f32_to_f16(floats[k]) : f32_to_bf16(floats[k]);
    decoded[k] = dtype_ == kF16 ? f16_to_f32(halves[k]) : bf16_to_f32(halves[k]);
  }
}

void TensorEncoder::measure(int64_t unit) {
  const float* floats = &floats_[unit * unit_weights_];
  const float* decoded = &decoded_[unit * unit_weights_];
  double error = 0, square = 0;
  for (int64_t i = 0; i < unit_weights_; ++i) {
    const double difference = double{floats[i]} - double{decoded[i]};
    error += difference * difference;
    square += double{floats[i]} * double{floats[i]};
  }
  error_squares_[unit] = error;
  weight_squares_[unit] = square;
}

}  // namespace mica
