#include "lib/runtime/benchmark_cases.h"

#include <algorithm>

#include "lib/runtime/benchmark_rig.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

constexpr uint64_t kReadBufferBytes = 512 << 20;  // far beyond caches

// Keys and values are not counted: each step reads others, and products bound it.
BenchmarkCase prefill_case(const WeightCounts& counts, int64_t tokens, BenchmarkLimit limit) {
  const auto steps = static_cast<double>((tokens - 1) / BenchmarkRig::kStepTokens + 1);
  return {.test = BenchmarkTest::kPrefill,
          .tokens = tokens,
          .batch = 1,
          .bytes_per_token =
              (counts.linear_bytes * steps + counts.head_bytes) / static_cast<double>(tokens),
          .operations_per_token = 2 * counts.linears,
          .limit = limit};
}

// `position_bytes`: keys and values of one position.
BenchmarkCase decode_case(const WeightCounts& counts, int64_t tokens, int64_t depth, int64_t batch,
                          double position_bytes) {
  const double seen = static_cast<double>(depth) + static_cast<double>(tokens + 1) / 2;
  return {
      .test = BenchmarkTest::kDecode,
      .tokens = tokens,
      .batch = batch,
      .bytes_per_token = (counts.linear_bytes + counts.head_bytes) / static_cast<double>(batch) +
                         seen * position_bytes,
      .operations_per_token = 2 * (counts.linears + counts.head),
      .limit = BenchmarkLimit::kRead};
}

}  // namespace

WeightCounts count_weights(const ModelWeights& weights) {
  WeightCounts counts;
  const auto count = [](const Weight& w, double& bytes, double& numbers) {
    bytes += static_cast<double>(tensor_bytes(w.dtype, w.rows, w.cols, "benchmark"));
    numbers += static_cast<double>(w.rows) * static_cast<double>(w.cols);
  };
  for (const LayerWeights& w : weights.layers) {
    for (const Weight* weight : {&w.q, &w.k, &w.v, &w.attn_out, &w.gate, &w.up, &w.down}) {
      count(*weight, counts.linear_bytes, counts.linears);
    }
  }
  count(weights.head, counts.head_bytes, counts.head);
  return counts;
}

std::vector<BenchmarkCase> benchmark_cases(const BenchmarkOptions& options,
                                           const ModelConfig& config, const ModelWeights& weights,
                                           int threads) {
  const WeightCounts counts = count_weights(weights);
  const KvLayout layout{options.kv, config.kv_heads, config.head_size};
  const double position_bytes =
      static_cast<double>(layout.block_bytes() * config.layers) / kKvBlockTokens;
  const bool integer = weights.layers.front().gate.dtype.layout == TensorLayout::kPanels &&
                       options.engine.activations == Activations::kInt8;
  std::vector<BenchmarkCase> cases;
  const auto add = [&](BenchmarkCase c, int64_t depth) {
    c.threads = threads;
    c.depth = depth;
    cases.push_back(std::move(c));
  };
  for (const int64_t depth : options.depths) {
    for (const int64_t tokens : options.prompts) {
      if (tokens == 0) continue;
      add(prefill_case(counts, tokens, integer ? BenchmarkLimit::kInt8 : BenchmarkLimit::kFma),
          depth);
    }
    if (options.generated == 0) continue;
    for (const int64_t batch : options.batches) {
      add(decode_case(counts, options.generated, depth, batch, position_bytes), depth);
    }
  }
  return cases;
}

uint64_t read_buffer_bytes(uint64_t available) {
  if (available == 0) return kReadBufferBytes;
  return std::clamp<uint64_t>(available / 4 >> 20 << 20, 1 << 20, kReadBufferBytes);
}

}  // namespace mica
