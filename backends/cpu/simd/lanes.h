// Sixteen lanes of 32 bits, the width of a weight panel, made of a machine's own vectors.
//
// Included only by kernel translation units, after which simd/NAME.h adds what differs between
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
  V v;
  __builtin_memcpy(&v, from, sizeof(V));
  return v;
}

template <class T, int kBytes>
MICA_INLINE void store(void* to, const Lanes<T, kBytes>& v) {
  __builtin_memcpy(to, &v, sizeof(v));
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
  V v;
  for (auto& part : v.part) part = typename V::Native{} + value;
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
MICA_INLINE Lanes<T, kBytes> operator<<(Lanes<T, kBytes> a, int count) {
  for (auto& part : a.part) part = part << count;
  return a;
}
template <class T, int kBytes>
MICA_INLINE Lanes<T, kBytes> operator>>(Lanes<T, kBytes> a, int count) {
  for (auto& part : a.part) part = part >> count;
  return a;
}

// All lanes in a fixed order: halves added to halves.
template <class T, int kBytes>
MICA_INLINE T sum(const Lanes<T, kBytes>& v) {
  T lane[kLanes];
  store(lane, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  }
  return lane[0];
}

template <class T, int kBytes>
MICA_INLINE T largest(const Lanes<T, kBytes>& v) {
  T lane[kLanes];
  store(lane, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
  }
  return lane[0];
}

// 1.5 * 2^23: a float of this size has a unit in the last place of 1, so adding it rounds to an
// integer, to be found in the low bits.
constexpr float kMagic = 12582912.0f;
constexpr int32_t kMagicBits = 0x4B400000;

}  // namespace
}  // namespace mica::cpu
