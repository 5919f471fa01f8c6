#include "backends/cpu/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <sys/mman.h>

#include "backends/cpu/isa.h"

namespace mica::cpu {
namespace {

constexpr double kMeasureSeconds = 0.01;
constexpr uint64_t kPieceBytes = 1 << 20;
constexpr uint64_t kLineBytes = 64;

typedef uint64_t Vector16 __attribute__((vector_size(16), may_alias));

// Lines of kStreams places in turn: hardware prefetchers follow a stream only to the end of its
// 4 KB page, and several streams reach theirs at different times.
template <class Vector, int kStreams, int kPrefetchBytes>
[[gnu::always_inline]] inline uint64_t read_streams(const std::byte* data, uint64_t bytes) {
  constexpr int kVectors = kLineBytes / sizeof(Vector);
  constexpr int kLines = 8 / kStreams;  // of a stream in one round
  const uint64_t part = bytes / kStreams;
  Vector sum[8] = {};
  for (uint64_t at = 0; at < part; at += kLines * kLineBytes) {
#pragma GCC unroll 8
    for (int stream = 0; stream < kStreams; ++stream) {
#pragma GCC unroll 8
      for (int line = 0; line < kLines; ++line) {
        const std::byte* from = data + stream * part + at + line * kLineBytes;
        if (kPrefetchBytes > 0) __builtin_prefetch(from + kPrefetchBytes);
#pragma GCC unroll 4
        for (int i = 0; i < kVectors; ++i) {
          sum[(stream * kLines + line) % 8] ^= reinterpret_cast<const Vector*>(from)[i];
        }
      }
    }
  }
  const Vector all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
  uint64_t folded = 0;
  for (size_t i = 0; i < sizeof all / sizeof folded; ++i) folded ^= all[i];
  return folded;
}

#define MICA_READ_LOOPS(function)                                                    \
  {                                                                                  \
    {"1 stream, prefetch", function<1, 4096>}, {"2 streams", function<2, 0>},        \
        {"4 streams", function<4, 0>}, {"4 streams, prefetch", function<4, 1024>}, { \
      "8 streams", function<8, 0>                                                    \
    }                                                                                \
  }

template <int kStreams, int kPrefetchBytes>
uint64_t read_16(const std::byte* data, uint64_t bytes) {
  return read_streams<Vector16, kStreams, kPrefetchBytes>(data, bytes);
}
constexpr ReadLoop kReadLoops16[] = MICA_READ_LOOPS(read_16);

#if defined(__x86_64__)
typedef uint64_t Vector32 __attribute__((vector_size(32), may_alias));
typedef uint64_t Vector64 __attribute__((vector_size(64), may_alias));

template <int kStreams, int kPrefetchBytes>
__attribute__((target("avx2"))) uint64_t read_32(const std::byte* data, uint64_t bytes) {
  return read_streams<Vector32, kStreams, kPrefetchBytes>(data, bytes);
}
constexpr ReadLoop kReadLoops32[] = MICA_READ_LOOPS(read_32);

template <int kStreams, int kPrefetchBytes>
__attribute__((target("avx512f"))) uint64_t read_64(const std::byte* data, uint64_t bytes) {
  return read_streams<Vector64, kStreams, kPrefetchBytes>(data, bytes);
}
constexpr ReadLoop kReadLoops64[] = MICA_READ_LOOPS(read_64);
#endif

double seconds_of(FunctionRef<void()> work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Calls work(count) with twice the count until it takes kMeasureSeconds; counts a second.
double rate_of(FunctionRef<void(int64_t)> work) {
  for (int64_t count = 1;; count *= 2) {
    const double seconds = seconds_of([&] { work(count); });
    if (seconds >= kMeasureSeconds) return static_cast<double>(count) / seconds;
  }
}

}  // namespace

std::span<const ReadLoop> read_loops() {
#if defined(__x86_64__)
  const CpuFeatures cpu = read_cpu_features();
  if (has_avx512(cpu)) return kReadLoops64;
  if (has_avx2(cpu)) return kReadLoops32;
#endif
  return kReadLoops16;
}

AlignedBuffer make_read_buffer(uint64_t bytes) {
  constexpr uint64_t kPage = 4096;
  AlignedBuffer buffer(bytes);
  const uint64_t skipped = -reinterpret_cast<uintptr_t>(buffer.data()) & (kPage - 1);
  // A hint: where it fails, pages are small.
  if (skipped < bytes) madvise(buffer.data() + skipped, bytes - skipped, MADV_HUGEPAGE);
  std::memset(buffer.data(), 1, bytes);
  return buffer;
}

double measure_read(ThreadPool& pool, const ReadLoop& loop, const std::byte* data, uint64_t bytes) {
  const auto threads = static_cast<uint64_t>(pool.size());
  const bool own_part = bytes <= threads * kPrivateBytes;
  const uint64_t piece =
      own_part ? (bytes / kReadMultiple + threads - 1) / threads * kReadMultiple : kPieceBytes;
  const auto pieces = static_cast<int64_t>((bytes + piece - 1) / piece);
  const auto read = [&](int64_t index) {
    const uint64_t at = static_cast<uint64_t>(index) * piece;
    asm volatile("" ::"r"(loop.read(data + at, std::min(piece, bytes - at))));
  };
  const double passes = rate_of([&](int64_t count) {
    if (own_part) {  // a thread begins with all passes over one piece
      return pool.share(pieces * count, 1, [&](int, Range part) { read(part.begin / count); });
    }
    for (int64_t pass = 0; pass < count; ++pass) {
      pool.share(pieces, 1, [&](int, Range part) { read(part.begin); });
    }
  });
  return passes * static_cast<double>(bytes);
}

double measure_peak(ThreadPool& pool, const PeakLoop& loop) {
  constexpr int64_t kRounds = 2048;  // of a piece: some microseconds
  const double pieces =
      rate_of([&](int64_t count) { pool.share(count, 1, [&](int, Range) { loop.run(kRounds); }); });
  return pieces * kRounds * loop.operations;
}

}  // namespace mica::cpu
