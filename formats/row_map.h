// Where the rows of a matrix, or the elements of a vector, lie in a source's tensor that holds more
// than it or holds them in another order.
#pragma once

#include <cstdint>

namespace mica {

struct RowMap {
  int64_t first = 0;  // of the source's rows
  int64_t block = 1;  // rows that lie together, `stride` apart from the next
  int64_t stride = 1;
  // Rows of a head, where its two halves are interleaved: llama.cpp's converter turned each head's
  // [2, rows / 2] into [rows / 2, 2] where rotated pairs are neighbours. 0: in order.
  int64_t interleaved = 0;

  // Of the matrix's row `row`.
  int64_t operator()(int64_t row) const {
    if (interleaved != 0) {
      const int64_t in_head = row % interleaved, half = interleaved / 2;
      row += 2 * (in_head % half) + in_head / half - in_head;
    }
    return first + row / block * stride + row % block;
  }
  bool operator==(const RowMap&) const = default;
};

}  // namespace mica
