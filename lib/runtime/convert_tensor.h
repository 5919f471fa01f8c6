// Encodes one tensor of a conversion, chunk by chunk, and measures what was lost.
//
// Holds one chunk, whatever the number of rows: about four million weights, or a single panel (16
// rows; a row where there are no panels) that has more. The result does not depend on threads.
#pragma once

#include <vector>

#include "formats/importer.h"
#include "formats/writer.h"
#include "lib/base/function_ref.h"
#include "lib/runtime/convert_plan.h"
#include "lib/runtime/engine.h"

namespace mica {

class TensorEncoder {
 public:
  TensorEncoder(const Importer& importer, const PlannedTensor& planned, const Engine& engine);

  // Encodes all rows in order; `write` gets the bytes of each chunk.
  void run(FunctionRef<void(Bytes)> write);

  // ||w - w'|| / ||w|| of the decoded result against the source as floats.
  double relative_error() const;
  // Codes of the source that the type could not hold.
  int64_t requantized() const { return requantized_; }

 private:
  void encode_chunk(int64_t first, int64_t rows);
  int64_t encode_unit(int64_t unit, std::byte* out);
  void encode_row(const float* floats, std::byte* out, float* decoded) const;
  void measure(int64_t unit);

  const Importer& importer_;
  const PlannedTensor& planned_;
  const DType dtype_;
  const Engine& engine_;
  const int64_t cols_;
  const int64_t unit_rows_;  // rows of a panel, or 1
  const int64_t unit_weights_;

  // The chunk: [rows, cols] as the source means them, and as the encoded bytes mean them.
  std::vector<float> floats_;
  std::vector<float> decoded_;
  GridRows grid_;
  std::vector<std::byte> encoded_;
  // One entry a unit, summed in order, so that any number of threads gives the same sums.
  std::vector<double> error_squares_;
  std::vector<double> weight_squares_;
  std::vector<int64_t> requantized_codes_;

  double error_square_ = 0;
  double weight_square_ = 0;
  int64_t requantized_ = 0;
};

}  // namespace mica
