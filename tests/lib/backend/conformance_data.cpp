#include "tests/lib/backend/conformance_data.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <limits>

#include "lib/backend/reference_backend.h"
#include "lib/base/half.h"

namespace mica::conformance {
namespace {

constexpr uint64_t kGuardBytes = 192;
constexpr std::byte kGuard{0xee};

// An fp16 scale, minimum or weight.
uint16_t random_half(Random& random, Values values) {
  constexpr uint16_t kExtremes[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x7bff, 0xfbff, 0x3c00, 0xb555};
  if (values == Values::kExtreme && random.below(2)) return kExtremes[random.below(8)];
  return f32_to_f16(0.02f * random.normal());
}

void store_half(std::byte* to, uint16_t half) {
  std::memcpy(to, &half, 2);
}

// Codes, scales and offsets of one slab; `present` rows of 16.
void fill_slab(Random& random, const DType& dtype, int64_t cols, int64_t present, Values values,
               std::byte* slab) {
  const int64_t code_bytes = kPanelRows * cols * dtype.code_bits / 8;
  const bool is_byte_code = dtype.code_bits == 8;
  for (int64_t i = 0; i < code_bytes; ++i) {
    slab[i] = static_cast<std::byte>(is_byte_code ? 1 + random.below(255) : random.below(256));
  }
  std::byte* scales = slab + code_bytes;
  std::byte* offsets = scales + kPanelRows * cols / dtype.group * dtype.scale_bytes;
  for (int64_t i = 0; i < kPanelRows * cols / dtype.group; ++i) {
    if (i % kPanelRows >= present) continue;
    store_half(scales + 2 * i, random_half(random, values));
    if (dtype.offset_bytes == 1) offsets[i] = static_cast<std::byte>(random.below(129));
    if (dtype.offset_bytes == 2) store_half(offsets + 2 * i, random_half(random, values));
  }
}

void fill_row(Random& random, const DType& dtype, int64_t cols, Values values, std::byte* row) {
  for (int64_t k = 0; k < cols; ++k) {
    const float value = f16_to_f32(random_half(random, values));
    const uint16_t half = dtype == kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    if (dtype == kF32) {
      std::memcpy(row + 4 * k, &value, 4);
    } else {
      store_half(row + 2 * k, half);
    }
  }
}

}  // namespace

std::vector<float> Random::normals(int64_t count, float deviation) {
  std::vector<float> values(count);
  for (float& value : values) value = deviation * normal();
  return values;
}

Weight TestWeight::at(const std::byte* data) const {
  return {.dtype = dtype,
          .rows = rows,
          .cols = cols,
          .data = data,
          .slab_stride = slab_stride(dtype, cols, "test")};
}

TestWeight random_weight(Random& random, const DType& dtype, int64_t rows, int64_t cols,
                         Values values) {
  TestWeight weight{dtype, rows, cols, {}};
  weight.bytes.resize(tensor_bytes(dtype, rows, cols, "test"));
  const auto stride = static_cast<int64_t>(slab_stride(dtype, cols, "test"));
  if (dtype.layout == TensorLayout::kRows) {
    for (int64_t n = 0; n < rows; ++n) {
      fill_row(random, dtype, cols, values, &weight.bytes[n * stride]);
    }
    return weight;
  }
  for (int64_t first = 0; first < rows; first += kPanelRows) {
    fill_slab(random, dtype, cols, rows - first, values,
              &weight.bytes[first / kPanelRows * stride]);
  }
  return weight;
}

std::vector<DType> panel_dtypes(int64_t cols) {
  std::vector<DType> dtypes;
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) {
      if (cols % group == 0) dtypes.push_back(make_dtype(*type, group));
    }
  }
  return dtypes;
}

std::vector<DType> all_dtypes(int64_t cols) {
  std::vector<DType> dtypes = panel_dtypes(cols);
  dtypes.insert(dtypes.end(), {kF32, kF16, kBF16});
  return dtypes;
}

std::vector<float> random_input(Random& random, int64_t rows, int64_t cols) {
  std::vector<float> x = random.normals(rows * cols);
  for (int64_t i = 0; i < rows * cols; ++i) {
    const int64_t t = i / cols, k = i % cols;
    switch (t % 8) {
      case 1:
        x[i] = random.below(2) ? 0.0f : -0.0f;
        break;
      case 2:  // groups alternate between all below 2^-100, subnormals, and just above
        x[i] *= k / 32 % 3 == 0 ? 0x1p-102f : k / 32 % 3 == 1 ? 0x1p-130f : 0x1p-98f;
        break;
      case 3:
        x[i] *= 1e26f;
        break;
      case 5:  // scale 1: halves are ties
        x[i] = k % 32 == 0 ? 127.0f : static_cast<float>(random.below(508) - 254) / 2;
        break;
      case 6:
        x[i] = k == cols / 2 ? -3.0f : 0.0f;
        break;
      default:
        break;
    }
  }
  return x;
}

std::byte* Memory::place_bytes(const void* source, uint64_t bytes) {
  pieces_.push_back({backend_.allocate(bytes + kGuardBytes), bytes});
  std::byte* data = pieces_.back().buffer->data();
  std::vector<std::byte> content(bytes + kGuardBytes, kGuard);
  if (bytes > 0) std::memcpy(content.data(), source, bytes);
  backend_.upload(content, data);
  return data;
}

std::vector<std::byte> Memory::bytes_of(const std::byte* data, uint64_t count) const {
  std::vector<std::byte> bytes(count);
  backend_.download(data, bytes);
  return bytes;
}

std::vector<float> Memory::values_of(View<float> view) const {
  std::vector<float> values(view.size());
  backend_.download(reinterpret_cast<const std::byte*>(view.data()),
                    std::as_writable_bytes(std::span(values)));
  return values;
}

View<float> Memory::output(int64_t rows, int64_t row_size) {
  const std::vector<float> unset(rows * row_size, std::numeric_limits<float>::quiet_NaN());
  return {place(unset), rows, row_size};
}

Memory::~Memory() {
  for (const Piece& piece : pieces_) {
    const auto guard = bytes_of(piece.buffer->data() + piece.used, kGuardBytes);
    const bool intact =
        std::all_of(guard.begin(), guard.end(), [](std::byte b) { return b == kGuard; });
    CHECK_MESSAGE(intact, "bytes behind a buffer of " << piece.used << " bytes were overwritten");
  }
}

std::vector<float> rows_of(const std::vector<float>& values, int64_t row_size, int64_t first,
                           int64_t count) {
  return {values.begin() + first * row_size, values.begin() + (first + count) * row_size};
}

void append(std::vector<float>& values, const std::vector<float>& more) {
  values.insert(values.end(), more.begin(), more.end());
}

std::string find_difference(const std::vector<float>& expected, const std::vector<float>& actual) {
  if (expected.size() != actual.size()) return "sizes differ";
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool same = std::memcmp(&expected[i], &actual[i], 4) == 0 ||
                      (std::isnan(expected[i]) && std::isnan(actual[i]));
    if (same) continue;
    char text[120];
    std::snprintf(text, sizeof text, "element %zu of %zu: expected %a, found %a", i,
                  expected.size(), double{expected[i]}, double{actual[i]});
    return text;
  }
  return "";
}

std::string find_excess(const std::vector<float>& expected, const std::vector<float>& actual,
                        const std::vector<double>& tolerance) {
  if (expected.size() != actual.size()) return "sizes differ";
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::fabs(double{expected[i]} - actual[i]) <= tolerance[i]) continue;  // not so for NaN
    char text[160];
    std::snprintf(text, sizeof text, "element %zu of %zu: expected %g, found %g, tolerance %g", i,
                  expected.size(), double{expected[i]}, double{actual[i]}, tolerance[i]);
    return text;
  }
  return "";
}

Bench::Bench(const BackendFactory& make, Activations activations)
    : reference(make_reference_backend(activations)),
      float_reference(make_reference_backend(Activations::kF32)) {
  for (const int threads : {1, 2, 3}) {
    TestedBackend made = make(threads, activations);
    if (made.backend) tested.push_back(std::move(made));
  }
  exact_tokens = activations == Activations::kInt8 ? tested[0].exact_tokens : INT64_MAX;
}

}  // namespace mica::conformance
