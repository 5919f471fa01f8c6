// Inputs, memory and comparisons of the conformance suite.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "quant/weight_type.h"
#include "tests/lib/backend/conformance.h"

namespace mica::conformance {

// Largest relative error of one rounding to float.
constexpr double kRounding = 0x1p-24;

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float normal() { return normal_(engine_); }
  int below(int count) { return static_cast<int>(engine_() % static_cast<unsigned>(count)); }
  std::vector<float> normals(int64_t count, float deviation = 1);

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

enum class Values {
  kUsual,
  kExtreme,  // zeros, subnormals, the largest numbers, of both signs
};

// A weight as its bytes lie in a file.
struct TestWeight {
  DType dtype;
  int64_t rows = 0;
  int64_t cols = 0;
  std::vector<std::byte> bytes;

  Weight at(const std::byte* data) const;
  Weight on_host() const { return at(bytes.data()); }
};

// Random valid bytes; rows past the last decode to 0.
TestWeight random_weight(Random& random, const DType& dtype, int64_t rows, int64_t cols,
                         Values values);
// All panel types with all groups that divide `cols`.
std::vector<DType> panel_dtypes(int64_t cols);
// Those and f32, f16, bf16.
std::vector<DType> all_dtypes(int64_t cols);

// [rows, cols]. Every eighth row is extreme in one way each: zeros, below and around the smallest
// scale, very large, exact ties, one number alone.
std::vector<float> random_input(Random& random, int64_t rows, int64_t cols);

// Memory of a backend for one call, with a pattern behind each piece. It may be another device's:
// all goes through upload() and download().
class Memory {
 public:
  explicit Memory(Backend& backend) : backend_(backend) {}
  ~Memory();  // checks the patterns

  template <class T>
  T* place(const std::vector<T>& values) {
    return reinterpret_cast<T*>(place_bytes(values.data(), values.size() * sizeof(T)));
  }
  Weight place(const TestWeight& weight) { return weight.at(place<std::byte>(weight.bytes)); }
  // An output, filled with NaN so that what is not written is seen.
  View<float> output(int64_t rows, int64_t row_size);

  std::vector<float> values_of(View<float> view) const;
  std::vector<std::byte> bytes_of(const std::byte* data, uint64_t count) const;

 private:
  std::byte* place_bytes(const void* source, uint64_t bytes);

  Backend& backend_;
  struct Piece {
    std::unique_ptr<DeviceBuffer> buffer;
    uint64_t used;
  };
  std::vector<Piece> pieces_;
};

// Rows [first, first + count) of [rows, row_size].
std::vector<float> rows_of(const std::vector<float>& values, int64_t row_size, int64_t first,
                           int64_t count);
void append(std::vector<float>& values, const std::vector<float>& more);

// Both return "" or where the first difference is. Two NaNs are equal.
std::string find_difference(const std::vector<float>& expected, const std::vector<float>& actual);
std::string find_excess(const std::vector<float>& expected, const std::vector<float>& actual,
                        const std::vector<double>& tolerance);

// Backends under test with 1, 2 and 3 threads, and the reference.
struct Bench {
  Bench(const BackendFactory& make, Activations activations);
  bool is_exact(int64_t tokens) const { return tokens <= exact_tokens; }

  std::unique_ptr<Backend> reference;
  std::unique_ptr<Backend> float_reference;  // Activations::kF32
  std::vector<TestedBackend> tested;
  int64_t exact_tokens;
};

}  // namespace mica::conformance
