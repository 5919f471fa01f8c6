// Non-owning, contiguous, row-major views of up to four dimensions.
//
// A view never owns: whoever made it keeps the memory alive. Shapes are stated at declarations in
// one alphabet: T tokens, D model, H heads, K kv heads, E head size, V vocabulary, F feed-forward,
// G group.
#pragma once

#include <array>
#include <cstdint>

namespace mica {

template <class T>
class View {
 public:
  View() = default;
  View(T* data, int64_t d0, int64_t d1 = 1, int64_t d2 = 1, int64_t d3 = 1)
      : data_(data), dims_{d0, d1, d2, d3} {}
  // A view of const elements can be made from one of mutable elements.
  operator View<const T>() const { return {data_, dims_[0], dims_[1], dims_[2], dims_[3]}; }

  T* data() const { return data_; }
  int64_t dim(int axis) const { return dims_[axis]; }
  int64_t rows() const { return dims_[0]; }
  int64_t row_size() const { return dims_[1] * dims_[2] * dims_[3]; }
  int64_t size() const { return dims_[0] * row_size(); }
  bool empty() const { return data_ == nullptr; }
  T* row(int64_t index) const { return data_ + index * row_size(); }
  // Rows [first, first + count).
  View slice(int64_t first, int64_t count) const {
    return {row(first), count, dims_[1], dims_[2], dims_[3]};
  }

 private:
  T* data_ = nullptr;
  std::array<int64_t, 4> dims_{0, 1, 1, 1};
};

}  // namespace mica
