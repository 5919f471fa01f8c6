// Checked arithmetic and checked slices: the only way to turn numbers of a file into sizes.
//
// All functions throw Error(kInvalidFile) whose sentence begins with `what`, for example
// "model.mica: tensor 'head': size". Nothing here allocates unless it throws.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mica {

using Bytes = std::span<const std::byte>;

template <class T>
concept Plain = std::is_trivially_copyable_v<T>;

[[noreturn]] void fail_overflow(std::string_view what);
[[noreturn]] void fail_slice(std::string_view what, uint64_t offset, uint64_t size, uint64_t whole);
[[noreturn]] void fail_range(std::string_view what, uint64_t value, uint64_t low, uint64_t high);

template <std::integral T>
T checked_add(T a, std::type_identity_t<T> b, std::string_view what) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) fail_overflow(what);
  return sum;
}

template <std::integral T>
T checked_mul(T a, std::type_identity_t<T> b, std::string_view what) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) fail_overflow(what);
  return product;
}

template <std::integral To, std::integral From>
To checked_cast(From value, std::string_view what) {
  if (!std::in_range<To>(value)) fail_overflow(what);
  return static_cast<To>(value);
}

// The least multiple of `alignment` (a power of two) that is >= value.
inline uint64_t checked_align_up(uint64_t value, uint64_t alignment, std::string_view what) {
  return checked_add(value, alignment - 1, what) & ~(alignment - 1);
}

// `value` if low <= value <= high.
inline uint64_t checked_range(uint64_t value, uint64_t low, uint64_t high, std::string_view what) {
  if (value < low || value > high) fail_range(what, value, low, high);
  return value;
}

// Bytes [offset, offset + size) of `whole`.
inline Bytes checked_slice(Bytes whole, uint64_t offset, uint64_t size, std::string_view what) {
  if (offset > whole.size() || size > whole.size() - offset) {
    fail_slice(what, offset, size, whole.size());
  }
  return whole.subspan(offset, size);
}

// A little-endian number or packed struct at `offset`; no alignment is needed.
template <Plain T>
T load_at(Bytes bytes, uint64_t offset, std::string_view what) {
  const Bytes source = checked_slice(bytes, offset, sizeof(T), what);
  T value;
  std::memcpy(&value, source.data(), sizeof(T));
  return value;
}

// A cursor over untrusted bytes. Not thread-safe; the bytes must outlive it.
class ByteReader {
 public:
  ByteReader(Bytes bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  template <Plain T>
  T read() {
    T value = load_at<T>(bytes_, position_, what_);
    position_ += sizeof(T);
    return value;
  }
  Bytes read_bytes(uint64_t size) {
    const Bytes slice = checked_slice(bytes_, position_, size, what_);
    position_ += size;
    return slice;
  }
  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }

 private:
  Bytes bytes_;
  std::string_view what_;
  uint64_t position_ = 0;
};

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace mica
