// The primitives of cuda_shim.h for a plain C++ compiler, over the fibers of fibers.h: for tests of
// kernels without a GPU. Exchanges between lanes and barriers let other fibers run.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backends/cuda/kernels/launch_shape.h"
#include "backends/cuda/kernels/words.h"
#include "backends/cuda/shim/fibers.h"
#include "lib/base/half.h"

#define MICA_DEVICE inline
#define MICA_DEVICE_MEMBER inline
#define MICA_UNROLL

namespace mica::cuda {

inline int thread_index() {
  return place().thread;
}
inline int block_threads() {
  return place().threads;
}
inline int lane() {
  return place().thread % 32;
}
inline int warp() {
  return place().thread / 32;
}
inline int block_x() {
  return place().block_x;
}
inline int block_y() {
  return place().block_y;
}
inline int block_z() {
  return place().block_z;
}
inline int grid_x() {
  return place().grid_x;
}
inline int grid_z() {
  return place().grid_z;
}

inline void sync_block() {
  fiber_sync_block();
}
inline int shuffle_xor(int value, int mask) {
  return static_cast<int>(fiber_exchange(static_cast<uint32_t>(value))[lane() ^ mask]);
}
inline float shuffle_xor(float value, int mask) {
  return std::bit_cast<float>(shuffle_xor(std::bit_cast<int>(value), mask));
}

inline std::byte* shared_memory() {
  return fiber_shared_memory();
}

// A device faults on what is not aligned to its size.
inline void require_alignment(const void* address, uintptr_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  std::fprintf(stderr, "kernel: access of %zu bytes at %p\n", size_t(bytes), address);
  std::abort();
}
inline Words4 load128(const void* from) {
  require_alignment(from, 16);
  Words4 v;
  std::memcpy(&v, from, 16);
  return v;
}
inline Words2 load64(const void* from) {
  require_alignment(from, 8);
  Words2 v;
  std::memcpy(&v, from, 8);
  return v;
}
inline void store128(void* to, Words4 v) {
  require_alignment(to, 16);
  std::memcpy(to, &v, 16);
}
inline Words4 stream128(const void* from) {
  return load128(from);
}

inline int dot_bytes(uint32_t a, uint32_t b, int sum) {
  for (int i = 0; i < 32; i += 8) {
    sum += int{static_cast<int8_t>(a >> i)} * int{static_cast<int8_t>(b >> i)};
  }
  return sum;
}

inline void multiply_tile(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const int g = lane() / 4, t = lane() % 4;
  for (int part = 0; part < 2; ++part) {
    // Rows g and g + 8 in one exchange, tokens in another.
    const uint64_t* rows = fiber_exchange(a[2 * part] | uint64_t{a[2 * part + 1]} << 32);
    uint64_t mine[4];
    for (int i = 0; i < 4; ++i) mine[i] = rows[4 * g + i];
    const uint64_t* tokens = fiber_exchange(b[part]);
    for (int i = 0; i < 4; ++i) {
      for (int token = 0; token < 2; ++token) {
        const auto other = static_cast<uint32_t>(tokens[4 * (2 * t + token) + i]);
        c[token] = dot_bytes(static_cast<uint32_t>(mine[i]), other, c[token]);
        c[2 + token] = dot_bytes(static_cast<uint32_t>(mine[i] >> 32), other, c[2 + token]);
      }
    }
  }
}

inline float fma_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float mul_rn(float a, float b) {
  return a * b;
}
inline float add_rn(float a, float b) {
  return a + b;
}
inline float div_rn(float a, float b) {
  return a / b;
}
inline float sqrt_rn(float a) {
  return std::sqrt(a);
}
inline int round_to_int(float a) {
  return static_cast<int>(std::nearbyint(a));
}
inline float exp_2(float a) {
  return std::exp2(a);
}
inline float tan_h(float a) {
  return std::tanh(a);
}
inline float er_f(float a) {
  return std::erf(a);
}

inline float as_float(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline uint32_t as_bits(float value) {
  return std::bit_cast<uint32_t>(value);
}
inline float half_to_float(uint32_t bits) {
  return f16_to_f32(static_cast<uint16_t>(bits));
}
inline uint16_t float_to_half(float value) {
  return f32_to_f16(value);
}
inline float bf16_to_float(uint32_t bits) {
  return as_float(bits << 16);
}
inline uint16_t float_to_bf16(float value) {
  return f32_to_bf16(value);
}

}  // namespace mica::cuda

#define MICA_KERNEL(NAME, THREADS, BLOCKS, ARGS, ...)                     \
  static bool launch_##NAME(const LaunchShape& shape, const ARGS& args) { \
    run_grid(shape, THREADS, [&args] { __VA_ARGS__(args); });             \
    return true;                                                          \
  }
