#include "backends/cpu/embed.h"

#include <cstring>

#include "backends/cpu/formats.h"
#include "lib/base/half.h"

namespace mica::cpu {
namespace {

uint16_t load_half(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof(half));
  return half;
}

// What a code of a group stands for.
struct GroupScale {
  float scale;
  int multiplier;
  int zero;
  float minimum;

  float value(int code) const {
    return scale * static_cast<float>(multiplier * code - zero) + minimum;
  }
};

GroupScale load_scale(Format format, const std::byte* scale, const std::byte* offset) {
  const float step = f16_to_f32(load_half(scale));
  switch (format) {
    case Format::kQ4:
      return {step / 8, 8, std::to_integer<int>(*offset), 0};
    case Format::kQ4s:
      return {step, 1, 8, 0};
    case Format::kQ4m:
      return {step, 1, 0, f16_to_f32(load_half(offset))};
    case Format::kQ8:
      return {step, 1, 128, 0};
  }
  return {};
}

// One row's four bytes of every line (formats/FORMAT.md, "Weight layout").
void gather_row(const Weight& table, Format format, int64_t row, float* out) {
  const int64_t r = row % kPanelRows, group = table.dtype.group;
  const int bits = table.dtype.code_bits;
  const std::byte* slab = table.data + row / kPanelRows * table.slab_stride;
  const std::byte* line = slab + 4 * r;
  const std::byte* scales = slab + table.cols * kPanelRows * bits / 8;
  const std::byte* offsets = scales + table.cols / group * kPanelRows * table.dtype.scale_bytes;
  for (int64_t k = 0; k < table.cols; k += 32 / bits, line += kSlabAlignment) {
    const int64_t index = k / group * kPanelRows + r;
    const GroupScale scale = load_scale(format, scales + index * table.dtype.scale_bytes,
                                        offsets + index * table.dtype.offset_bytes);
    for (int j = 0; j < 4; ++j) {
      const int byte = std::to_integer<int>(line[j]);
      out[k + j] = scale.value(bits == 4 ? byte & 15 : byte);
      if (bits == 4) out[k + 4 + j] = scale.value(byte >> 4);
    }
  }
}

void load_row(const Weight& table, int64_t row, float* out) {
  if (const auto format = find_format(table.dtype)) return gather_row(table, *format, row, out);
  const std::byte* from = table.data + row * table.slab_stride;
  if (table.dtype == kF32) {
    std::memcpy(out, from, table.cols * sizeof(float));
    return;
  }
  for (int64_t k = 0; k < table.cols; ++k) {
    const uint16_t half = load_half(from + 2 * k);
    out[k] = table.dtype == kF16 ? f16_to_f32(half) : bf16_to_f32(half);
  }
}

}  // namespace

void embed_row(const Weight& table, int64_t row, float scale, float* out) {
  load_row(table, row, out);
  if (scale == 1) return;
  for (int64_t k = 0; k < table.cols; ++k) out[k] *= scale;
}

}  // namespace mica::cpu
