#include "formats/float_rows.h"

#include <cstring>

#include "lib/base/half.h"

namespace mica {
namespace {

template <float (*to_float)(uint16_t)>
void widen(const std::byte* elements, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits;
    std::memcpy(&bits, elements + 2 * i, sizeof(bits));
    out[i] = to_float(bits);
  }
}

}  // namespace

void widen_f32(const std::byte* elements, int64_t count, float* out) {
  std::memcpy(out, elements, static_cast<size_t>(count) * sizeof(float));
}

void widen_f16(const std::byte* elements, int64_t count, float* out) {
  widen<f16_to_f32>(elements, count, out);
}

void widen_bf16(const std::byte* elements, int64_t count, float* out) {
  widen<bf16_to_f32>(elements, count, out);
}

}  // namespace mica
