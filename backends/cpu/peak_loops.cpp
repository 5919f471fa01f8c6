// The loops that multiply in registers and do nothing else. Each keeps as many sums going as hide
// the latency of its instruction. Registers 0 and 1 hold the factors, the next ones the sums, the
// one after them a product on its way; none holds what was there before, which as floats could be
// slow. In assembler, because compilers spill or merge such chains.
#include "backends/cpu/machine_limits.h"
#include "backends/cpu/simd/tile_shapes.h"

namespace mica::cpu {
namespace {

#if defined(__x86_64__)
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
                   "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");       \
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

// Tiles 0 and 1 hold the factors, six others the sums: a product takes 16 cycles, its result 52.
constexpr double kTileChains = 6;
#define MICA_TILE_CHAINS(op) op("2") op("3") op("4") op("5") op("6") op("7")
#define MICA_TILEZERO(n) "tilezero %%tmm" n "\n\t"
#define MICA_TDPBSSD(n) "tdpbssd %%tmm1, %%tmm0, %%tmm" n "\n\t"
void dot_tiles(int64_t rounds) {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = kTileRows;
    shapes.row_bytes[tile] = kTileBytes;
  }
  int8_t ones[kTileBytes];
  for (int8_t& one : ones) one = 1;
  asm volatile(
      "ldtilecfg (%1)\n\ttileloadd (%2,%3,1), %%tmm0\n\ttileloadd (%2,%3,1), %%tmm1\n\t"  //
      MICA_TILE_CHAINS(MICA_TILEZERO) "1:\n\t" MICA_TILE_CHAINS(
          MICA_TDPBSSD) "dec %0\n\tjnz 1b\n\ttilerelease"
      : "+r"(rounds)
      : "r"(&shapes), "r"(ones), "r"(int64_t{0})
      : "cc", "memory");
}

constexpr PeakLoop kInt8Peaks[] = {
    {"generic", "pmaddwd", kChains * 8 * 2, multiply_words_128},
    {"avx2", "vpmaddubsw, vpaddw", kChains * 32 * 2, multiply_bytes_256},
    {"avxvnni", "vpdpbusd", kChains * 32 * 2, dot_256},
    {"avx512vnni", "vpdpbusd", kChains * 64 * 2, dot_512},
    {"amx", "tdpbssd", kTileChains* kTileRows* kTileRows* kTileBytes * 2, dot_tiles}};
constexpr PeakLoop kFloatPeaks[] = {
    {"generic", "mulps, addps", kChains * 4 * 2, multiply_floats_128},
    {"avx2", "vfmadd231ps", kChains * 8 * 2, fused_256},
    {"avxvnni", "vfmadd231ps", kChains * 8 * 2, fused_256},
    {"avx512vnni", "vfmadd231ps", kChains * 16 * 2, fused_512},
    {"amx", "vfmadd231ps", kChains * 16 * 2, fused_512}};
#elif defined(__aarch64__)
constexpr double kChains = 24;  // 4 cycles at four instructions a cycle, and some more
#define MICA_CHAINS(op)                                                                         \
  op("2") op("3") op("4") op("5") op("6") op("7") op("8") op("9") op("10") op("11") op("12")    \
      op("13") op("14") op("15") op("16") op("17") op("18") op("19") op("20") op("21") op("22") \
          op("23") op("24") op("25")
#define MICA_CLEAR(n) "movi v" n ".16b, #0\n\t"
#define MICA_PEAK_LOOP(name, ones, op)                                                             \
  void name(int64_t rounds) {                                                                      \
    asm volatile(".arch armv8.2-a+dotprod\n\t" MICA_CHAINS(MICA_CLEAR) ones                        \
                 "1:\n\t" MICA_CHAINS(op) "subs %0, %0, #1\n\tb.ne 1b\n\t"                         \
                 : "+r"(rounds)                                                                    \
                 :                                                                                 \
                 : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", \
                   "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22",    \
                   "v23", "v24", "v25", "v26");                                                    \
  }
#define MICA_SDOT(n) "sdot v" n ".4s, v0.16b, v1.16b\n\t"
#define MICA_SMULL(n) "smull v26.8h, v0.8b, v1.8b\n\tsadalp v" n ".4s, v26.8h\n\t"
#define MICA_FMLA(n) "fmla v" n ".4s, v0.4s, v1.4s\n\t"
#define MICA_BYTES "movi v0.16b, #1\n\tmovi v1.16b, #1\n\t"
#define MICA_FLOATS "fmov v0.4s, #0.5\n\tfmov v1.4s, #0.5\n\t"

MICA_PEAK_LOOP(dot_128, MICA_BYTES, MICA_SDOT)
MICA_PEAK_LOOP(multiply_bytes_64, MICA_BYTES, MICA_SMULL)
MICA_PEAK_LOOP(fused_128, MICA_FLOATS, MICA_FMLA)

constexpr PeakLoop kInt8Peaks[] = {{"generic", "smull, sadalp", kChains * 8 * 2, multiply_bytes_64},
                                   {"neon", "sdot", kChains * 16 * 2, dot_128}};
constexpr PeakLoop kFloatPeaks[] = {{"generic", "fmla", kChains * 4 * 2, fused_128},
                                    {"neon", "fmla", kChains * 4 * 2, fused_128}};
#else
constexpr std::span<const PeakLoop> kInt8Peaks, kFloatPeaks;
#endif

const PeakLoop* find_peak(std::span<const PeakLoop> loops, std::string_view isa) {
  for (const PeakLoop& loop : loops) {
    if (isa == loop.isa) return &loop;
  }
  return nullptr;
}

}  // namespace

const PeakLoop* int8_peak(std::string_view isa) {
  return find_peak(kInt8Peaks, isa);
}
const PeakLoop* float_peak(std::string_view isa) {
  return find_peak(kFloatPeaks, isa);
}

}  // namespace mica::cpu
