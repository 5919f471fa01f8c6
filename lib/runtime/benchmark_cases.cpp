#include "lib/runtime/benchmark_cases.h"

#include <algorithm>

#include "lib/runtime/benchmark_rig.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

constexpr uint64_t kReadBufferBytes = 512 << 20;  // far beyond caches

// Keys and values are not counted: each step reads others, and products bound it. Of the last layer
// most is computed for the last token alone.
BenchmarkCase prefill_case(const WeightCounts& counts, int64_t tokens, BenchmarkLimit limit) {
  const auto steps = static_cast<double>((tokens - 1) / BenchmarkRig::kStepTokens + 1);
  return {.test = BenchmarkTest::kPrefill,
          .tokens = tokens,
          .batch = 1,
          .bytes_per_token =
              (counts.linear_bytes * steps + counts.head_bytes) / static_cast<double>(tokens),
          .operations_per_token =
              2 * (counts.linears - counts.last * (1 - 1 / static_cast<double>(tokens))),
          .limit = limit};
}

// Bytes of keys and values that a token reads which sees `positions` where no window ends them.
double kv_bytes(const ModelConfig& config, KvType type, double positions) {
  const KvLayout layout{type, config.kv_heads, config.head_size};
  double read = 0;
  for (const bool windowed : config.windowed_layers) {
    read += windowed ? std::min(positions, static_cast<double>(config.window)) : positions;
  }
  return read * static_cast<double>(layout.block_bytes()) / kKvBlockTokens;
}

BenchmarkCase decode_case(const WeightCounts& counts, int64_t tokens, int64_t batch,
                          double kv_bytes_read) {
  return {
      .test = BenchmarkTest::kDecode,
      .tokens = tokens,
      .batch = batch,
      .bytes_per_token =
          (counts.linear_bytes + counts.head_bytes) / static_cast<double>(batch) + kv_bytes_read,
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
      if (weight->rows > 0) count(*weight, counts.linear_bytes, counts.linears);
    }
  }
  const LayerWeights& w = weights.layers.back();
  double bytes = 0;
  for (const Weight* weight : {&w.attn_out, &w.gate, &w.up, &w.down}) {
    if (weight->rows > 0) count(*weight, bytes, counts.last);
  }
  count(weights.head, counts.head_bytes, counts.head);
  return counts;
}

std::vector<BenchmarkCase> benchmark_cases(const BenchmarkOptions& options,
                                           const ModelConfig& config, const ModelWeights& weights,
                                           int threads) {
  const WeightCounts counts = count_weights(weights);
  const bool integer = weights.layers.front().up.dtype.layout == TensorLayout::kPanels &&
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
    const double seen = static_cast<double>(depth) + static_cast<double>(options.generated + 1) / 2;
    for (const int64_t batch : options.batches) {
      add(decode_case(counts, options.generated, batch, kv_bytes(config, options.kv, seen)), depth);
    }
  }
  return cases;
}

uint64_t read_buffer_bytes(uint64_t available) {
  if (available == 0) return kReadBufferBytes;
  return std::clamp<uint64_t>(available / 4 >> 20 << 20, 1 << 20, kReadBufferBytes);
}

}  // namespace mica
