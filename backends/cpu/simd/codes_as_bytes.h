// 4-bit codes summed as bytes are, where the machine adds four products of bytes to 32 bits.
//
// Included last by the simd_NAME.h of such machines, after their add_bytes().
#pragma once

namespace mica::cpu {
namespace {

constexpr int kQ4Factor = 1;

// Sums of products of 4-bit codes.
struct CodeSums {
  Ints total;
};
template <int kFactor>
MICA_INLINE Ints end_codes(const CodeSums& sums) {
  return sums.total;
}
MICA_INLINE void add_codes(CodeSums& sums, const Words& codes, const Quad& a) {
  add_bytes(sums.total, codes, a);
}
MICA_INLINE CodeSums begin_codes(const Ints& start, const Words& codes, const Quad& a) {
  CodeSums sums{start};
  add_codes(sums, codes, a);
  return sums;
}

}  // namespace
}  // namespace mica::cpu
