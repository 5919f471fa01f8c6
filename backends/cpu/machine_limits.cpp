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

// Twelve chains hide a latency of 5 cycles at two instructions a cycle. Registers 0 and 1 hold the
// factors, 2 .. 13 the sums, 14 a product on its way; none holds what was there before, which as
// floats could be slow. In assembler, because compilers spill or merge such chains.
constexpr double kChains = 12;
#define MICA_CHAINS(op)                                                                      \
  op("2") op("3") op("4") op("5") op("6") op("7") op("8") op("9") op("10") op("11") op("12") \
      op("13")
#define MICA_CLEAR(n) "pxor %%xmm" n ", %%xmm" n "\n\t"
#define MICA_ONES_128(ones)           \
  MICA_CHAINS(MICA_CLEAR)             \
  "mov $" ones                        \
  ", %%eax\n\tmovd %%eax, %%xmm0\n\t" \
  "pshufd $0, %%xmm0, %%xmm0\n\tmovdqa %%xmm0, %%xmm1\n\t"
#define MICA_ONES_256(ones)            \
  "vzeroall\n\tmov $" ones             \
  ", %%eax\n\tvmovd %%eax, %%xmm0\n\t" \
  "vpbroadcastd %%xmm0, %%ymm0\n\tvmovdqa %%ymm0, %%ymm1\n\t"
#define MICA_ONES_512(ones)            \
  "vzeroall\n\tmov $" ones             \
  ", %%eax\n\tvmovd %%eax, %%xmm0\n\t" \
  "vpbroadcastd %%xmm0, %%zmm0\n\tvmovdqa64 %%zmm0, %%zmm1\n\t"
#define MICA_PEAK_LOOP(name, before, op, after)                                                 \
  void name(int64_t rounds) {                                                                   \
    asm volatile(before "1:\n\t" MICA_CHAINS(op) "dec %0\n\tjnz 1b\n\t" after                   \
                 : "+r"(rounds)                                                                 \
                 :                                                                              \
                 : "cc", "rax", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
                   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14");                \
  }
#define MICA_VPDPBUSD_512(n) "vpdpbusd %%zmm0, %%zmm1, %%zmm" n "\n\t"
#define MICA_VPDPBUSD_256(n) "%{vex%} vpdpbusd %%ymm0, %%ymm1, %%ymm" n "\n\t"
#define MICA_VPMADDUBSW(n) \
  "vpmaddubsw %%ymm0, %%ymm1, %%ymm14\n\tvpaddw %%ymm14, %%ymm" n ", %%ymm" n "\n\t"
#define MICA_PMADDWD(n) \
  "movdqa %%xmm0, %%xmm14\n\tpmaddwd %%xmm1, %%xmm14\n\tpaddd %%xmm14, %%xmm" n "\n\t"
#define MICA_VFMADD_512(n) "vfmadd231ps %%zmm0, %%zmm1, %%zmm" n "\n\t"
#define MICA_VFMADD_256(n) "vfmadd231ps %%ymm0, %%ymm1, %%ymm" n "\n\t"
#define MICA_MULPS(n) \
  "movaps %%xmm0, %%xmm14\n\tmulps %%xmm1, %%xmm14\n\taddps %%xmm14, %%xmm" n "\n\t"
#define MICA_BYTES "0x01010101"   // 1, 1, 1, 1
#define MICA_WORDS "0x00010001"   // 1, 1
#define MICA_FLOATS "0x3f000000"  // 0.5

MICA_PEAK_LOOP(dot_512, MICA_ONES_512(MICA_BYTES), MICA_VPDPBUSD_512, "vzeroupper\n\t")
MICA_PEAK_LOOP(dot_256, MICA_ONES_256(MICA_BYTES), MICA_VPDPBUSD_256, "vzeroupper\n\t")
MICA_PEAK_LOOP(multiply_bytes_256, MICA_ONES_256(MICA_BYTES), MICA_VPMADDUBSW, "vzeroupper\n\t")
MICA_PEAK_LOOP(multiply_words_128, MICA_ONES_128(MICA_WORDS), MICA_PMADDWD, "")
MICA_PEAK_LOOP(fused_512, MICA_ONES_512(MICA_FLOATS), MICA_VFMADD_512, "vzeroupper\n\t")
MICA_PEAK_LOOP(fused_256, MICA_ONES_256(MICA_FLOATS), MICA_VFMADD_256, "vzeroupper\n\t")
MICA_PEAK_LOOP(multiply_floats_128, MICA_ONES_128(MICA_FLOATS), MICA_MULPS, "")

constexpr PeakLoop kInt8Peaks[] = {
    {"generic", "pmaddwd", kChains * 8 * 2, multiply_words_128},
    {"avx2", "vpmaddubsw, vpaddw", kChains * 32 * 2, multiply_bytes_256},
    {"avxvnni", "vpdpbusd", kChains * 32 * 2, dot_256},
    {"avx512vnni", "vpdpbusd", kChains * 64 * 2, dot_512}};
constexpr PeakLoop kFloatPeaks[] = {
    {"generic", "mulps, addps", kChains * 4 * 2, multiply_floats_128},
    {"avx2", "vfmadd231ps", kChains * 8 * 2, fused_256},
    {"avxvnni", "vfmadd231ps", kChains * 8 * 2, fused_256},
    {"avx512vnni", "vfmadd231ps", kChains * 16 * 2, fused_512}};
#else
constexpr std::span<const PeakLoop> kInt8Peaks, kFloatPeaks;
#endif

const PeakLoop* find_peak(std::span<const PeakLoop> loops, std::string_view isa) {
  for (const PeakLoop& loop : loops) {
    if (isa == loop.isa) return &loop;
  }
  return nullptr;
}

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

const PeakLoop* int8_peak(std::string_view isa) {
  return find_peak(kInt8Peaks, isa);
}
const PeakLoop* float_peak(std::string_view isa) {
  return find_peak(kFloatPeaks, isa);
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
