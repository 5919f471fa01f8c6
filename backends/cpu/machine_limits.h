// What this machine can do at most: reading memory, and multiplying in registers. The yardsticks
// beside which kernels and whole models are reported; nothing else uses them.
//
// Rates are of all threads of a pool together. Work is taken in pieces, so that a thread
// that has lost its processor for a while does not hold up the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/aligned_buffer.h"
#include "lib/base/thread_pool.h"

namespace mica::cpu {

// One way of reading memory. Which one is fastest depends on the machine, on the caches that the
// bytes lie in and on the size of the pages: the limit is the fastest of all.
struct ReadLoop {
  const char* name;  // "4 streams"
  // Reads [data, data + bytes) once; `bytes` is a multiple of kReadMultiple. The result keeps the
  // compiler from leaving it out.
  uint64_t (*read)(const std::byte* data, uint64_t bytes);
};
constexpr uint64_t kReadMultiple = 4096;

// Those that this machine can run.
std::span<const ReadLoop> read_loops();

// Independent instructions of one kind, nothing but registers.
struct PeakLoop {
  const char* isa;
  const char* instruction;      // "vpdpbusd"
  double operations;            // of one round: multiplications and additions
  void (*run)(int64_t rounds);  // at least 1
};

// For the kernels of an ISA (cpu_isas() of cpu_backend.h); nullptr where none is known. The machine
// can run what it can run kernels of.
const PeakLoop* int8_peak(std::string_view isa);
const PeakLoop* float_peak(std::string_view isa);

// Memory for measure_read(): written to, in huge pages where the system gives them, which some
// machines read faster.
AlignedBuffer make_read_buffer(uint64_t bytes);

// Bytes a second of `loop` over [data, data + bytes), a multiple of kReadMultiple, read as often as
// takes about 10 ms. Up to kPrivateBytes a thread each keeps to a part of its own, which stays in
// its own cache.
double measure_read(ThreadPool& pool, const ReadLoop& loop, const std::byte* data, uint64_t bytes);
constexpr uint64_t kPrivateBytes = 4 << 20;

// Operations a second, measured for about 10 ms.
double measure_peak(ThreadPool& pool, const PeakLoop& loop);

}  // namespace mica::cpu
