// Plain floats of any stored width, to float. `elements` needs no alignment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica {

void widen_f32(const std::byte* elements, int64_t count, float* out);
void widen_f16(const std::byte* elements, int64_t count, float* out);
void widen_bf16(const std::byte* elements, int64_t count, float* out);

}  // namespace mica
