// Sixteen lanes of 32 bits, the width of a weight panel, made of a machine's own vectors.
//
// Included only by kernel translation units, after which simd_NAME.h adds what differs between
// instruction sets. Everything here has internal linkage: each unit has its own copy, compiled with
// its own flags (a copy that escaped could be chosen by the linker for baseline code).
#pragma once

#include <cstdint>

#define MICA_INLINE inline __attribute__((always_inline))

namespace mica::cpu {
namespace {

constexpr int kLanes = 16;

template <class T, int kBytes>
struct Lanes {
  typedef T Native __attribute__((vector_size(kBytes)));
  static constexpr int kParts = kLanes * 4 / kBytes;
  Native part[kParts];
};

template <class V>
MICA_INLINE V load(const void* from) {
  // Part by part: of a copy in one piece GCC 12 makes a stay on the stack.
  const char* bytes = static_cast<const char*>(from);
  V v;
  for (int i = 0; i < V::kParts; ++i) {
    __builtin_memcpy(&v.part[i], bytes + i * sizeof(v.part[i]), sizeof(v.part[i]));
  }
  return v;
}

template <class T, int kBytes>
MICA_INLINE void store(void* to, const Lanes<T, kBytes>& v) {
  char* bytes = static_cast<char*>(to);
  for (int i = 0; i < v.kParts; ++i) {
    __builtin_memcpy(bytes + i * sizeof(v.part[i]), &v.part[i], sizeof(v.part[i]));
  }
}

// The first `count` lanes, the others 0.
template <class V, class T>
MICA_INLINE V load_first(const T* from, int64_t count) {
  T lane[kLanes] = {};
  __builtin_memcpy(lane, from, count * sizeof(T));
  return load<V>(lane);
}
template <class T, int kBytes>
MICA_INLINE void store_first(T* to, int64_t count, const Lanes<T, kBytes>& v) {
  T lane[kLanes];
  store(lane, v);
  __builtin_memcpy(to, lane, count * sizeof(T));
}

template <class V, class T>
MICA_INLINE V splat(T value) {
  V v;  // value - 0 is value, also for -0; compilers see a broadcast
  for (auto& part : v.part) part = value - typename V::Native{};
  return v;
}

// a, b, a, b, ... of the two numbers at `from`.
template <class V, class T>
MICA_INLINE V splat_pair(const T* from) {
  using Pairs = typename Lanes<int64_t, sizeof(typename V::Native)>::Native;
  int64_t pair;
  __builtin_memcpy(&pair, from, sizeof(pair));
  V v;
  for (auto& part : v.part) part = (typename V::Native)(pair - Pairs{});
  return v;
}

// The same bits as lanes of another type.
template <class To, class T, int kBytes>
MICA_INLINE To as(const Lanes<T, kBytes>& v) {
  To to;
  for (int i = 0; i < To::kParts; ++i) to.part[i] = (typename To::Native)v.part[i];
  return to;
}

template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator+(Lanes<T, kBytes> a, const Lanes<T, kBytes>& b) {
  for (int i = 0; i < a.kParts; ++i) a.part[i] = a.part[i] + b.part[i];
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator-(Lanes<T, kBytes> a, const Lanes<T, kBytes>& b) {
  for (int i = 0; i < a.kParts; ++i) a.part[i] = a.part[i] - b.part[i];
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator*(Lanes<T, kBytes> a, const Lanes<T, kBytes>& b) {
  for (int i = 0; i < a.kParts; ++i) a.part[i] = a.part[i] * b.part[i];
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator/(Lanes<T, kBytes> a, const Lanes<T, kBytes>& b) {
  for (int i = 0; i < a.kParts; ++i) a.part[i] = a.part[i] / b.part[i];
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator&(Lanes<T, kBytes> a, T mask) {
  for (auto& part : a.part) part = part & mask;
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator|(Lanes<T, kBytes> a, const Lanes<T, kBytes>& b) {
  for (int i = 0; i < a.kParts; ++i) a.part[i] = a.part[i] | b.part[i];
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator^(Lanes<T, kBytes> a, T mask) {
  for (auto& part : a.part) part = part ^ mask;
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator<<(Lanes<T, kBytes> a, int count) {
  for (auto& part : a.part) part = part << count;
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator>>(Lanes<T, kBytes> a, int count) {
  for (auto& part : a.part) part = part >> count;
  return a;
}

// All lanes in a fixed order: parts with parts, then halves with halves.
template <class V, class F>
MICA_INLINE auto fold_halves(V v, F f) {
  if constexpr (sizeof(V) == 64) {
    return fold_halves(f(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7),
                         __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15)),
                       f);
  } else if constexpr (sizeof(V) == 32) {
    return fold_halves(
        f(__builtin_shufflevector(v, v, 0, 1, 2, 3), __builtin_shufflevector(v, v, 4, 5, 6, 7)), f);
  } else {
    v = f(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
    return f(v, __builtin_shufflevector(v, v, 1, 0, 3, 2))[0];
  }
}
template <class T, int kBytes, class F>
MICA_INLINE T fold(const Lanes<T, kBytes>& v, F f) {
  auto all = v.part[0];
  for (int i = 1; i < v.kParts; ++i) all = f(all, v.part[i]);
  return fold_halves(all, f);
}
template <class T, int kBytes>
MICA_INLINE T sum(const Lanes<T, kBytes>& v) {
  return fold(v, [](auto a, auto b) { return a + b; });
}
template <class T, int kBytes>
MICA_INLINE T largest(const Lanes<T, kBytes>& v) {
  return fold(v, [](auto a, auto b) { return a > b ? a : b; });
}

// f of neighbours: those of the first vector in the first half of the lanes, of the second after.
template <class N, class F>
MICA_INLINE N fold_pairs_of(const N& a, const N& b, F f) {
  if constexpr (sizeof(N) == 64) {
    return f(
        __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
        __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
  } else if constexpr (sizeof(N) == 32) {
    return f(__builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
             __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15));
  } else {
    return f(__builtin_shufflevector(a, b, 0, 2, 4, 6), __builtin_shufflevector(a, b, 1, 3, 5, 7));
  }
}
template <class T, int kBytes, class F>
MICA_INLINE Lanes<T, kBytes> fold_pairs(const Lanes<T, kBytes>& a, const Lanes<T, kBytes>& b, F f) {
  constexpr int kParts = Lanes<T, kBytes>::kParts;
  typename Lanes<T, kBytes>::Native parts[2 * kParts];
  for (int i = 0; i < kParts; ++i) parts[i] = a.part[i];
  for (int i = 0; i < kParts; ++i) parts[kParts + i] = b.part[i];
  Lanes<T, kBytes> folded;
  for (int i = 0; i < kParts; ++i) {
    folded.part[i] = fold_pairs_of(parts[2 * i], parts[2 * i + 1], f);
  }
  return folded;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> add_pairs(const Lanes<T, kBytes>& a, const Lanes<T, kBytes>& b) {
  return fold_pairs(a, b, [](auto x, auto y) { return x + y; });
}

// Lane i: f over the lanes of v[i]. Overwrites v.
template <class V, class F>
MICA_INLINE V fold_each(V (&v)[kLanes], F f) {
  for (int count = kLanes / 2; count > 0; count /= 2) {
    for (int i = 0; i < count; ++i) v[i] = fold_pairs(v[2 * i], v[2 * i + 1], f);
  }
  return v[0];
}

// 1.5 * 2^23: a float of this size has a unit in the last place of 1, so adding it rounds to an
// integer, to be found in the low bits.
constexpr float kMagic = 12582912.0f;
constexpr int32_t kMagicBits = 0x4B400000;

// p * 2^n for integers n in -127 .. 127 and p about 1; n = -127 gives 0.
template <int kBytes>
MICA_INLINE Lanes<float, kBytes> multiply_by_power(const Lanes<float, kBytes>& p,
                                                   const Lanes<float, kBytes>& n) {
  using Floats = Lanes<float, kBytes>;
  using Ints = Lanes<int32_t, kBytes>;
  // The integer in the low bits becomes the exponent; the rest is shifted out.
  const Ints bits = as<Ints>(n + splat<Floats>(kMagic));
  return p * as<Floats>((bits + splat<Ints>(127)) << 23);
}

}  // namespace
}  // namespace mica::cpu
