// What one GPU can do at best, as JSON: reading and copying its memory, copies from pinned and
// pageable memory of the host, int8 and bf16 products of its matrix units (mma.sync, which is not
// all that Hopper's own instructions reach).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "backends/cuda/shim/cuda_shim.h"

namespace mica::cuda {
namespace {

constexpr size_t kBytes = size_t{2} << 30;
constexpr int kLoops = 4096;

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "gpu-ceilings: %s failed: %s\n", call, cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK(CALL) check(CALL, #CALL)

__global__ void read_memory(const uint4* from, size_t count, uint32_t* out) {
  uint32_t sum = 0;
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += 8 * step) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j)
      v[j] = i + j * step < count ? from[i + j * step] : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum ^= v[j].x ^ v[j].y ^ v[j].z ^ v[j].w;
  }
  if (sum == 0x12345678u) *out = sum;  // never: memory holds zeros
}

__global__ void multiply_int8(int* out) {
  int sums[8][4] = {};
  uint32_t a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {threadIdx.x, 5};
  for (int i = 0; i < kLoops; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) multiply_tile(sums[j], a, b);
  }
  int sum = 0;
  for (int j = 0; j < 8; ++j) sum += sums[j][0] + sums[j][1] + sums[j][2] + sums[j][3];
  if (sum == 0x7fffffff) *out = sum;
}

__global__ void multiply_bf16(float* out) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  float sums[8][4] = {};
  const uint32_t a = 0x3f803f80u + threadIdx.x, b = 0x3f803f80u;
  for (int i = 0; i < kLoops; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, "
          "{%5, %5}, {%0, %1, %2, %3};"
          : "+f"(sums[j][0]), "+f"(sums[j][1]), "+f"(sums[j][2]), "+f"(sums[j][3])
          : "r"(a), "r"(b));
    }
  }
  float sum = 0;
  for (int j = 0; j < 8; ++j) sum += sums[j][0] + sums[j][1] + sums[j][2] + sums[j][3];
  if (sum == 0.123f) *out = sum;
#endif
}

// Of the fastest of three rounds.
double seconds_of(const std::function<void()>& run) {
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  double best = 1e30;
  run();
  for (int i = 0; i < 3; ++i) {
    CHECK(cudaEventRecord(begin));
    run();
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    float milliseconds = 0;
    CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
    if (milliseconds * 1e-3 < best) best = milliseconds * 1e-3;
  }
  CHECK(cudaGetLastError());
  return best;
}

void run() {
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0));
  const int sms = properties.multiProcessorCount;
  void *from, *to, *pinned;
  CHECK(cudaMalloc(&from, kBytes));
  CHECK(cudaMalloc(&to, kBytes));
  CHECK(cudaMemset(from, 0, kBytes));
  const size_t copied = kBytes / 4;
  CHECK(cudaHostAlloc(&pinned, copied, cudaHostAllocDefault));
  void* pageable = std::malloc(copied);
  std::memset(pageable, 1, copied);

  const double read = seconds_of([&] {
    read_memory<<<sms * 8, 256>>>(static_cast<const uint4*>(from), kBytes / 16,
                                  static_cast<uint32_t*>(to));
  });
  const double copy =
      seconds_of([&] { CHECK(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDeviceToDevice)); });
  const double up =
      seconds_of([&] { CHECK(cudaMemcpyAsync(to, pinned, copied, cudaMemcpyHostToDevice)); });
  const double paged =
      seconds_of([&] { CHECK(cudaMemcpy(to, pageable, copied, cudaMemcpyHostToDevice)); });
  const double down =
      seconds_of([&] { CHECK(cudaMemcpyAsync(pinned, to, copied, cudaMemcpyDeviceToHost)); });
  const double warps = sms * 4.0 * 8, products = warps * kLoops * 8;
  const double int8 = seconds_of([&] { multiply_int8<<<sms * 4, 256>>>(static_cast<int*>(to)); });
  const double bf16 = properties.major < 8 ? 0 : seconds_of([&] {
    multiply_bf16<<<sms * 4, 256>>>(static_cast<float*>(to));
  });

  std::printf("{\"device\": \"%s\", \"capability\": \"%d.%d\", \"multiprocessors\": %d,\n",
              properties.name, properties.major, properties.minor, sms);
  std::printf(" \"read_bytes_per_second\": %.4g, \"copy_bytes_per_second\": %.4g,\n", kBytes / read,
              kBytes / copy);
  std::printf(" \"upload_pinned\": %.4g, \"upload_pageable\": %.4g, \"download_pinned\": %.4g,\n",
              copied / up, copied / paged, copied / down);
  std::printf(" \"int8_operations\": %.4g, \"bf16_operations\": %.4g}\n",
              products * 2 * 16 * 8 * 32 / int8,
              bf16 > 0 ? products * 2 * 16 * 8 * 16 / bf16 : 0.0);
}

}  // namespace
}  // namespace mica::cuda

void mica_measure_ceilings() {
  mica::cuda::run();
}
