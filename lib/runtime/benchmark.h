// Prefill and decode rates of a model beside what this machine can do at most.
//
// Every repetition runs all cases once, each followed by the limit it is held against, so that a
// noisy machine hits all alike; a share is the median of what repetitions gave. Runs engines of its
// own, one for each number of threads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/reader.h"
#include "lib/backend/kv_layout.h"
#include "lib/base/host.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/plan.h"

namespace mica {

struct BenchmarkOptions {
  EngineOptions engine;      // but for its threads
  std::vector<int> threads;  // each at most usable_threads; empty: choose_threads
  PlanRequest plan;          // but for context and kv: where layers go, on engines with devices
  KvType kv = KvType::kF16;
  std::vector<int64_t> prompts = {512};  // tokens of a prefill; 0: none
  std::vector<int64_t> depths = {0};     // tokens held before a case begins
  std::vector<int64_t> batches = {1};    // sequences decoded together
  int64_t generated = 128;               // tokens of a decode of each sequence; 0: no decode
  int repetitions = 5;
};

// Bytes and operations a second of one number of threads; 0: not known.
struct MachineLimits {
  ThreadChoice threads;
  double read = 0;                // from DRAM; not known where memory is too little for it
  double read_at_model_size = 0;  // over as many bytes as a token reads, or 512 MiB
  double read_from_cache = 0;     // each thread from its own
  double int8 = 0;                // multiplications and additions of the ISA in use
  double fma = 0;
};

enum class BenchmarkTest { kPrefill, kDecode };
// What bounds a case on the host: the int8 peak, the float peak, or reading memory.
enum class BenchmarkLimit { kInt8, kFma, kRead };

struct BenchmarkCase {
  BenchmarkTest test;
  int threads;
  int64_t tokens;  // of each sequence
  int64_t depth;
  int64_t batch;
  // Codes, scales and offsets read: of the linears once a step (of 512 tokens in a prefill), of the
  // head with each logits (once a prefill). Keys and values too in decodes, not in prefills.
  double bytes_per_token;
  double operations_per_token;  // two a weight of the linears run, and of the head in decodes
  BenchmarkLimit limit;
  // Of the repetitions done so far. With layers on devices there are rates alone: the host's limits
  // are not those of the case.
  std::vector<double> tokens_per_second;
  std::vector<double> limit_rates;  // measured beside, bytes or operations a second
  std::vector<double> limit_shares;
};

struct BenchmarkResult {
  std::string cpu;
  std::string isa;
  std::string model;          // its name
  std::string weights;        // type of most of them: "q4g32"
  uint64_t weight_bytes = 0;  // that a token reads
  KvType kv = KvType::kF16;
  std::vector<std::string> places;    // "layers 0 .. 9 on the host"; none: all is there
  std::vector<MachineLimits> limits;  // one for each number of threads
  std::vector<BenchmarkCase> cases;
};

// The result so far, and what is being done: `done` of `total`. Returning false stops with
// Error(kInterrupted).
using BenchmarkProgress = std::function<bool(const BenchmarkResult&, std::string_view doing,
                                             uint64_t done, uint64_t total)>;

// Throws Error(kUsage) for numbers that make no sense, for more threads than can run at once,
// MICA_THREADS included, and for depths and prompts beyond the model's context (their sum may be);
// Error(kDoesNotFit) when what all engines need exceeds the memory available.
BenchmarkResult run_benchmark(const MicaFile& file, const BenchmarkOptions& options,
                              const BenchmarkProgress& progress);

double median(std::vector<double> values);  // 0 for none

}  // namespace mica
