// Keys and values of one head in a block (lib/backend/kv_layout.h): stored, and read as floats.
#pragma once

#include "backends/cpu/kernels/attention_tile.h"
#include "backends/cpu/kernels/pointwise.h"
#include "backends/cpu/kernels/quantize.h"

namespace mica::cpu {
namespace {

constexpr int64_t kMostCodes = 256;  // head size of int8 keys and values

constexpr int64_t element_bytes(KvFormat format) {
  return format == KvFormat::kF32 ? 4 : format == KvFormat::kInt8 ? 1 : 2;
}

// Sixteen elements as floats; of int8 the codes of values, without their scale.
template <KvFormat kFormat>
MICA_INLINE Floats load_channels(const std::byte* from) {
  if constexpr (kFormat == KvFormat::kF16) return load_halves(from);
  if constexpr (kFormat == KvFormat::kBF16) return as<Floats>(load_shorts(from) << 16);
  if constexpr (kFormat == KvFormat::kF32) return load<Floats>(from);
  if constexpr (kFormat == KvFormat::kInt8) return to_floats(load_signed_bytes(from));
}

// Of the 16 positions of int8 keys or values.
MICA_INLINE Floats load_scales(const std::byte* part, int64_t head_size) {
  return load<Floats>(part + head_size * kBlockTokens);
}

// A line of 16-bit keys is 16 positions x 2 channels. Its two vectors of floats keep that order.
template <KvFormat kFormat>
MICA_INLINE void widen_keys(const std::byte* keys, int64_t head_size, float* to) {
  for (int64_t i = 0; i < head_size; ++i, keys += 32, to += kLanes) {
    store(to, load_channels<kFormat>(keys));
  }
}

// A block's values as floats [positions][E padded to 16].
template <KvFormat kFormat>
MICA_INLINE void widen_values(const std::byte* values, int64_t head_size, int64_t positions,
                              float* to) {
  constexpr int64_t kElement = element_bytes(kFormat);
  const int64_t whole = head_size / kLanes * kLanes, tail = head_size - whole;
  for (int64_t p = 0; p < positions; ++p, values += head_size * kElement) {
    for (int64_t c = 0; c < whole; c += kLanes, to += kLanes) {
      store(to, load_channels<kFormat>(values + c * kElement));
    }
    if (tail == 0) continue;
    std::byte padded[kLanes * kElement] = {};
    __builtin_memcpy(padded, values + whole * kElement, tail * kElement);
    store(to, load_channels<kFormat>(padded));
    to += kLanes;
  }
}

// To nearest even; the steps are those of lib/base/half.h.
MICA_INLINE void store_bf16(void* to, const Floats& v) {
  uint32_t bits[kLanes];
  uint16_t narrow[kLanes];
  store(bits, v);
  for (int i = 0; i < kLanes; ++i) {
    const bool is_nan = (bits[i] & 0x7fffffffu) > 0x7f800000u;
    const uint32_t rounded = bits[i] + 0x7fffu + (bits[i] >> 16 & 1u);
    narrow[i] = static_cast<uint16_t>((is_nan ? bits[i] | 0x400000u : rounded) >> 16);
  }
  __builtin_memcpy(to, narrow, sizeof(narrow));
}

// Calls put(elements, begin, bytes) for stretches of a key's or value's elements, and stores the
// scale of codes.
template <class Put>
MICA_INLINE void store_elements(const float* x, int64_t head_size, KvFormat format,
                                int64_t position, std::byte* part, Put put) {
  if (format == KvFormat::kInt8) {
    int8_t codes[kMostCodes];
    InputGroup group;
    quantize(x, head_size, static_cast<int>(head_size), codes, &group);
    __builtin_memcpy(part + head_size * kBlockTokens + position * 4, &group.scale, 4);
    return put(reinterpret_cast<const std::byte*>(codes), 0, head_size);
  }
  const int64_t element = element_bytes(format);
  for_lanes(head_size, [&](int64_t c, int count) {
    std::byte elements[kLanes * 4];
    const Floats v = load_up_to(x + c, count);
    if (format == KvFormat::kF16) {
      store_halves(reinterpret_cast<uint16_t*>(elements), v);
    } else if (format == KvFormat::kBF16) {
      store_bf16(elements, v);
    } else {
      store(elements, v);
    }
    put(elements, c * element, count * element);
  });
}

void store_key(const float* key, int64_t head_size, KvFormat format, int64_t position,
               std::byte* keys) {
  const uint32_t bias = format == KvFormat::kInt8 ? 0x80808080u : 0;  // adds 128 to every code
  store_elements(key, head_size, format, position, keys,
                 [&](const std::byte* elements, int64_t begin, int64_t bytes) {
                   std::byte* to = keys + begin * kBlockTokens + position * 4;
                   for (int64_t i = 0; i < bytes; i += 4, to += 64) {
                     uint32_t word;
                     __builtin_memcpy(&word, elements + i, 4);
                     word ^= bias;
                     __builtin_memcpy(to, &word, 4);
                   }
                 });
}

void store_value(const float* value, int64_t head_size, KvFormat format, int64_t position,
                 std::byte* values) {
  std::byte* to = values + position * head_size * element_bytes(format);
  store_elements(value, head_size, format, position, values,
                 [&](const std::byte* elements, int64_t begin, int64_t bytes) {
                   __builtin_memcpy(to + begin, elements, bytes);
                 });
}

}  // namespace
}  // namespace mica::cpu
