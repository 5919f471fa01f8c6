// A trie in an array of 32-bit units, in the format of Darts-clone, which SentencePiece's
// precompiled charsmaps use too. A unit, from its low bits:
//
//   child of its parent:  8 label | 1 has a value | 1 wide | 22 offset     (wide: offset * 256)
//   value:               31 value | 1 set
//
// From unit p the child for byte c is unit p ^ offset(p) ^ c, if its label is c; the value of p is
// in unit p ^ offset(p). The root is unit 0. Keys hold no zero bytes.
//
// A view over bytes that may come from a file: every step is checked. Safe to share by threads.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/checked.h"

namespace mica {

class DoubleArray {
 public:
  DoubleArray() = default;
  explicit DoubleArray(Bytes units) : units_(units.data()), count_(units.size() / 4) {}

  // Calls visit(bytes, value) for each key that `text` begins with, the shortest first, until it
  // returns false.
  template <class Visit>
  void prefixes(std::string_view text, Visit visit) const {
    if (count_ == 0) return;
    uint64_t at = offset(unit(0));
    for (size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      at ^= byte;
      if (byte == 0 || at >= count_) return;
      const uint32_t child = unit(at);
      if ((child & (kIsValue | 0xff)) != byte) return;
      at ^= offset(child);
      if (!(child & kHasValue)) continue;
      if (at >= count_ || !visit(i + 1, unit(at) & ~kIsValue)) return;
    }
  }

  static constexpr uint32_t kIsValue = 1u << 31;
  static constexpr uint32_t kHasValue = 1u << 8;
  static constexpr uint32_t kWide = 1u << 9;

 private:
  uint32_t unit(uint64_t index) const {
    uint32_t value;
    std::memcpy(&value, units_ + index * sizeof(value), sizeof(value));
    return value;
  }
  static uint64_t offset(uint32_t unit) { return uint64_t{unit >> 10} << (unit & kWide ? 8 : 0); }

  const std::byte* units_ = nullptr;
  uint64_t count_ = 0;
};

// The units for keys that are sorted, distinct, not empty and without zero bytes; values below
// 2^31. Throws Error(kUnsupported), which begins with `name`, when the offsets do not fit.
std::vector<uint32_t> build_double_array(
    std::span<const std::pair<std::string_view, uint32_t>> keys, std::string_view name);

}  // namespace mica
