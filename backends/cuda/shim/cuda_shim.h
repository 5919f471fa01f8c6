// The primitives of kernels, for nvcc. host_shim.h has the same ones for a plain C++ compiler;
// kernels use nothing else of the device, so that one source serves both.
//
// Arithmetic is IEEE-754 binary32 with the roundings that the names say; nothing is fused that is
// not written as fma_rn (-fmad=false).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "backends/cuda/kernels/launch_shape.h"
#include "backends/cuda/kernels/words.h"

#define MICA_DEVICE static __device__ __forceinline__
#define MICA_DEVICE_MEMBER __device__ __forceinline__
#define MICA_UNROLL _Pragma("unroll")

namespace mica::cuda {

MICA_DEVICE int thread_index() {
  return static_cast<int>(threadIdx.x);
}
MICA_DEVICE int block_threads() {
  return static_cast<int>(blockDim.x);
}
MICA_DEVICE int lane() {
  return static_cast<int>(threadIdx.x & 31);
}
MICA_DEVICE int warp() {
  return static_cast<int>(threadIdx.x >> 5);
}
MICA_DEVICE int block_x() {
  return static_cast<int>(blockIdx.x);
}
MICA_DEVICE int block_y() {
  return static_cast<int>(blockIdx.y);
}
MICA_DEVICE int block_z() {
  return static_cast<int>(blockIdx.z);
}
MICA_DEVICE int grid_x() {
  return static_cast<int>(gridDim.x);
}
MICA_DEVICE int grid_z() {
  return static_cast<int>(gridDim.z);
}

MICA_DEVICE void sync_block() {
  __syncthreads();
}
// All 32 lanes take part in these.
MICA_DEVICE int shuffle_xor(int value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
MICA_DEVICE float shuffle_xor(float value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

// The launch's shared memory, aligned to 16 bytes.
MICA_DEVICE std::byte* shared_memory() {
  extern __shared__ __align__(16) std::byte mica_shared_memory[];
  return mica_shared_memory;
}

MICA_DEVICE Words4 load128(const void* from) {
  const uint4 v = *static_cast<const uint4*>(from);
  return {v.x, v.y, v.z, v.w};
}
MICA_DEVICE Words2 load64(const void* from) {
  const uint2 v = *static_cast<const uint2*>(from);
  return {v.x, v.y};
}
MICA_DEVICE void store128(void* to, Words4 v) {
  *static_cast<uint4*>(to) = make_uint4(v.x, v.y, v.z, v.w);
}
// Of memory that is read once and by nobody written meanwhile: weights.
MICA_DEVICE Words4 stream128(const void* from) {
  Words4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

MICA_DEVICE int dot_bytes(uint32_t a, uint32_t b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}

// c[16 x 8] += a[16 x 32] * b[32 x 8] in signed bytes; a warp together. Of lane l, with g = l / 4
// and t = l % 4: a holds row g (words 0, 2) and g + 8 (1, 3), columns 4 t.. (0, 1) and 4 t + 16..
// (2, 3); b the same columns' words of token g; c rows g (0, 1) and g + 8 (2, 3) of tokens 2 t, 2 t
// + 1.
MICA_DEVICE void multiply_tile(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, "
      "%9}, "
      "{%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else  // Turing's tile is a quarter of that, with the same places
  for (int half = 0; half < 2; ++half) {
    for (int part = 0; part < 2; ++part) {
      asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
          : "+r"(c[2 * half]), "+r"(c[2 * half + 1])
          : "r"(a[half + 2 * part]), "r"(b[part]));
    }
  }
#endif
}

MICA_DEVICE float fma_rn(float a, float b, float c) {
  return __fmaf_rn(a, b, c);
}
MICA_DEVICE float mul_rn(float a, float b) {
  return __fmul_rn(a, b);
}
MICA_DEVICE float add_rn(float a, float b) {
  return __fadd_rn(a, b);
}
MICA_DEVICE float div_rn(float a, float b) {
  return __fdiv_rn(a, b);
}
MICA_DEVICE float sqrt_rn(float a) {
  return __fsqrt_rn(a);
}
MICA_DEVICE int round_to_int(float a) {
  return __float2int_rn(a);
}
// Errors of at most two units in the last place.
MICA_DEVICE float exp_2(float a) {
  return exp2f(a);
}
MICA_DEVICE float tan_h(float a) {
  return tanhf(a);
}
MICA_DEVICE float er_f(float a) {
  return erff(a);
}

MICA_DEVICE float as_float(uint32_t bits) {
  return __uint_as_float(bits);
}
MICA_DEVICE uint32_t as_bits(float value) {
  return __float_as_uint(value);
}
MICA_DEVICE float half_to_float(uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<uint16_t>(bits)));
}
MICA_DEVICE uint16_t float_to_half(float value) {
  return __half_as_ushort(__float2half_rn(value));
}
MICA_DEVICE float bf16_to_float(uint32_t bits) {
  return as_float(bits << 16);
}
MICA_DEVICE uint16_t float_to_bf16(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

}  // namespace mica::cuda

// Defines the kernel NAME, which calls ... with `args`, and launch_NAME(shape, args).
#define MICA_KERNEL(NAME, THREADS, BLOCKS, ARGS, ...)                                              \
  extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(const ARGS args) {            \
    __VA_ARGS__(args);                                                                             \
  }                                                                                                \
  static bool launch_##NAME(const LaunchShape& shape, const ARGS& args) {                          \
    if (shape.shared_bytes > (48 << 10)) {                                                         \
      cudaFuncSetAttribute(NAME, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes); \
    }                                                                                              \
    NAME<<<dim3(shape.x, shape.y, shape.z), dim3(THREADS), shape.shared_bytes,                     \
           static_cast<cudaStream_t>(shape.stream)>>>(args);                                       \
    return true;                                                                                   \
  }
