// What a benchmark measures and how much it reads, worked out without running anything.
#pragma once

#include "lib/model/weights.h"
#include "lib/runtime/benchmark.h"

namespace mica {

// Bytes of weights that products read, and the numbers of weights.
struct WeightCounts {
  double linear_bytes = 0;
  double head_bytes = 0;
  double linears = 0;
  double last = 0;  // of them, those after the attention of the last layer
  double head = 0;
};
WeightCounts count_weights(const ModelWeights& weights);

// The cases of one number of threads, by depth; at each first the prefills, then the decodes.
std::vector<BenchmarkCase> benchmark_cases(const BenchmarkOptions& options,
                                           const ModelConfig& config, const ModelWeights& weights,
                                           int threads);

// The buffer whose reading tells how fast memory is: smaller where little memory is available
// (bytes; 0: not known).
uint64_t read_buffer_bytes(uint64_t available);
// A smaller buffer may lie in a cache, whole or in good part: then the rate of DRAM is not known.
constexpr uint64_t kLeastDramBytes = 128 << 20;

}  // namespace mica
