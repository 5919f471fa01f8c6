#include "bench/machine_limits.h"

#include <cstring>

namespace mica::bench {

#if defined(__x86_64__)
namespace {

constexpr int kChains = 12;  // enough to hide a latency of 5 cycles at 2 a cycle

__attribute__((target("avx512f"))) uint64_t read_512(const std::byte* data, uint64_t bytes) {
  typedef uint64_t Vector __attribute__((vector_size(64), aligned(1), may_alias));
  Vector sum[4] = {};
  for (uint64_t i = 0; i + 256 <= bytes; i += 256) {
    const auto* from = reinterpret_cast<const Vector*>(data + i);
    for (int j = 0; j < 4; ++j) sum[j] ^= from[j];
    __builtin_prefetch(data + i + 4096);
    __builtin_prefetch(data + i + 4096 + 64);
    __builtin_prefetch(data + i + 4096 + 128);
    __builtin_prefetch(data + i + 4096 + 192);
  }
  const Vector all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
  return all[0] ^ all[7];
}

#define MICA_CHAINS(instruction, from, to)                                                    \
  instruction " %%" from "0, %%" from "1, %%" to "2\n\t" instruction " %%" from "0, %%" from  \
              "1, %%" to "3\n\t" instruction " %%" from "0, %%" from "1, %%" to               \
              "4\n\t" instruction " %%" from "0, %%" from "1, %%" to "5\n\t" instruction      \
              " %%" from "0, %%" from "1, %%" to "6\n\t" instruction " %%" from "0, %%" from  \
              "1, %%" to "7\n\t" instruction " %%" from "0, %%" from "1, %%" to               \
              "8\n\t" instruction " %%" from "0, %%" from "1, %%" to "9\n\t" instruction      \
              " %%" from "0, %%" from "1, %%" to "10\n\t" instruction " %%" from "0, %%" from \
              "1, %%" to "11\n\t" instruction " %%" from "0, %%" from "1, %%" to              \
              "12\n\t" instruction " %%" from "0, %%" from "1, %%" to "13\n\t"
#define MICA_CLOBBERS                                                                      \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13"

}  // namespace

uint64_t read_all(const std::byte* data, uint64_t bytes) {
  if (__builtin_cpu_supports("avx512f")) return read_512(data, bytes);
  uint64_t sum = 0;
  for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    sum ^= word;
  }
  return sum;
}

uint64_t multiply_bytes(uint64_t rounds) {
  const bool vnni = __builtin_cpu_supports("avx512vnni");
  if (!vnni && !__builtin_cpu_supports("avx2")) return 0;
  for (uint64_t i = 0; i < rounds; ++i) {
    if (vnni) {
      asm volatile(MICA_CHAINS("vpdpbusd", "zmm", "zmm")::: MICA_CLOBBERS);
    } else {
      asm volatile(MICA_CHAINS("vpmaddubsw", "ymm", "ymm")::: MICA_CLOBBERS);
    }
  }
  return rounds * kChains * (vnni ? 64 : 32) * 2;
}

uint64_t multiply_floats(uint64_t rounds) {
  const bool wide = __builtin_cpu_supports("avx512f");
  if (!wide && !__builtin_cpu_supports("fma")) return 0;
  for (uint64_t i = 0; i < rounds; ++i) {
    if (wide) {
      asm volatile(MICA_CHAINS("vfmadd231ps", "zmm", "zmm")::: MICA_CLOBBERS);
    } else {
      asm volatile(MICA_CHAINS("vfmadd231ps", "ymm", "ymm")::: MICA_CLOBBERS);
    }
  }
  return rounds * kChains * (wide ? 16 : 8) * 2;
}
#else
uint64_t read_all(const std::byte* data, uint64_t bytes) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
    uint64_t word;
    std::memcpy(&word, data + i, 8);
    sum ^= word;
  }
  return sum;
}
uint64_t multiply_bytes(uint64_t) {
  return 0;
}
uint64_t multiply_floats(uint64_t) {
  return 0;
}
#endif

}  // namespace mica::bench
