// Products, attention and their limits on this machine.
//
//   bench-kernels --benchmark_filter='decode/avx512vnni/.*/threads:1'
//
// decode/ISA/TYPE   one token times a weight larger than the caches: bytes of weights a second, to
// be
//                   read beside limit/read
// prefill/ISA/TYPE  256 tokens times a weight that stays in the caches: operations a second, to be
//                   read beside limit/int8 (limit/float for f32, f16, bf16 weights)
// attention/ISA     tokens of 9 heads over 3 kv heads of 64 channels at some depth
#include <benchmark/benchmark.h>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "bench/machine_limits.h"
#include "lib/base/aligned_buffer.h"
#include "lib/base/half.h"
#include "quant/weight_type.h"

namespace mica::bench {
namespace {

using benchmark::Counter;
using benchmark::State;

constexpr uint64_t kReadBytes = 256 << 20;
constexpr uint64_t kStreamedBytes = 192
                                    << 20;  // of weights; several times a last-level cache's share

void limit_read(State& state, int threads) {
  const AlignedBuffer buffer(kReadBytes);
  std::memset(buffer.data(), 1, kReadBytes);
  ThreadPool pool(threads);
  for (auto _ : state) {
    pool.share(kReadBytes >> 16, 16, [&](int, Range part) {
      benchmark::DoNotOptimize(
          read_all(buffer.data() + (part.begin << 16), (part.end - part.begin) << 16));
    });
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kReadBytes));
}

void limit_compute(State& state, int threads, uint64_t (*multiply)(uint64_t)) {
  constexpr uint64_t kRounds = 1 << 20;
  ThreadPool pool(threads);
  uint64_t operations = 0;
  for (auto _ : state) {
    pool.share(threads, 1, [&](int, Range) { operations = multiply(kRounds); });
  }
  state.counters["ops"] =
      Counter(static_cast<double>(operations) * threads, Counter::kIsIterationInvariantRate);
}

std::vector<float> normals(int64_t count) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

// A weight whose panels (or rows) repeat a few random ones.
struct BenchWeight {
  AlignedBuffer bytes;
  Weight weight;

  BenchWeight(const DType& dtype, int64_t rows, int64_t cols)
      : bytes(tensor_bytes(dtype, rows, cols, "weight")),
        weight{dtype, rows, cols, bytes.data(), slab_stride(dtype, cols, "weight")} {
    const std::vector<float> source = normals(kPanelRows * cols);
    std::vector<std::byte> pattern(dtype.layout == TensorLayout::kPanels
                                       ? weight.slab_stride
                                       : weight.slab_stride * kPanelRows);
    if (const WeightType* type = find_weight_type(dtype)) {
      type->encode(source.data(), cols, dtype.group, pattern.data());
    } else {
      for (size_t i = 0; i < source.size(); ++i) {
        const uint16_t half = dtype == kF16 ? f32_to_f16(source[i]) : f32_to_bf16(source[i]);
        if (dtype == kF32) std::memcpy(&pattern[4 * i], &source[i], 4);
        if (dtype != kF32) std::memcpy(&pattern[2 * i], &half, 2);
      }
    }
    for (uint64_t at = 0; at < bytes.bytes(); at += pattern.size()) {
      std::memcpy(bytes.data() + at, pattern.data(), pattern.size());
    }
  }
};

struct Setting {
  std::string isa;
  DType dtype;
  int threads;
  Activations activations = Activations::kInt8;
};

void run_product(State& state, const Setting& setting, int64_t rows, int64_t cols, int64_t tokens) {
  ThreadPool pool(setting.threads);
  const auto backend =
      make_cpu_backend(pool, {.isa = setting.isa, .activations = setting.activations});
  backend->reserve({.tokens = tokens, .input_cols = cols, .output_rows = rows});
  const BenchWeight weight(setting.dtype, rows, cols);
  std::vector<float> x = normals(tokens * cols), out(tokens * rows);
  const Projection projection{&weight.weight, {}, {out.data(), tokens, rows}};
  for (auto _ : state) {
    backend->norm_linear({.x = {x.data(), tokens, cols}, .projections = {&projection, 1}});
  }
  const auto count = static_cast<double>(state.iterations());
  state.SetBytesProcessed(static_cast<int64_t>(count * static_cast<double>(weight.bytes.bytes())));
  state.counters["ops"] =
      Counter(static_cast<double>(2 * rows * cols * tokens), Counter::kIsIterationInvariantRate);
}

void decode(State& state, const Setting& setting, int64_t tokens) {
  constexpr int64_t kCols = 2048;
  const auto rows =
      static_cast<int64_t>(kStreamedBytes / (bits_per_weight(setting.dtype) / 8 * kCols));
  run_product(state, setting, rows / kPanelRows * kPanelRows, kCols, tokens);
}

void prefill(State& state, const Setting& setting, int64_t tokens) {
  run_product(state, setting, 1536, 1536, tokens);
}

// `tokens` tokens that see `depth` positions before them.
void attention(State& state, const std::string& isa, int threads, KvType type, int64_t tokens,
               int64_t depth) {
  constexpr int64_t kHeads = 9, kKvHeads = 3, kHeadSize = 64;
  ThreadPool pool(threads);
  const auto backend = make_cpu_backend(pool, {.isa = isa});
  const int64_t positions = depth + tokens, blocks = (positions + 15) / 16;
  backend->reserve(
      {.tokens = tokens, .heads = kHeads, .head_size = kHeadSize, .context = positions});
  const KvLayout layout{type, kKvHeads, kHeadSize};
  const AlignedBuffer cache(blocks * layout.block_bytes());
  std::vector<int32_t> table(blocks);
  for (int64_t i = 0; i < blocks; ++i) table[i] = static_cast<int32_t>(i);
  std::vector<float> q = normals(tokens * kHeads * kHeadSize), out(q.size());
  const BatchSegment segment{0, tokens, depth, table};
  for (auto _ : state) {
    backend->attention({.q = {q.data(), tokens, kHeads, kHeadSize},
                        .kv = {layout, cache.data()},
                        .segments = {&segment, 1},
                        .scale = 0.125f,
                        .out = {out.data(), tokens, kHeads, kHeadSize}});
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * cache.bytes()));
  const double seen =
      static_cast<double>(tokens) * (static_cast<double>(depth) + (tokens + 1) / 2.0);
  state.counters["ops"] =
      Counter(4 * seen * kHeads * kHeadSize, Counter::kIsIterationInvariantRate);
}

void add(const std::string& name, int threads, const std::function<void(State&)>& run) {
  benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(), run)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

std::vector<DType> dtypes() {
  std::vector<DType> all{kF32, kF16, kBF16};
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) all.push_back(make_dtype(*type, group));
  }
  return all;
}

void add_all(int threads) {
  add("limit/read", threads, [=](State& s) { limit_read(s, threads); });
  add("limit/int8", threads, [=](State& s) { limit_compute(s, threads, multiply_bytes); });
  add("limit/float", threads, [=](State& s) { limit_compute(s, threads, multiply_floats); });
  for (const IsaInfo& info : cpu_isas()) {
    if (!info.available) continue;
    const std::string isa = info.name;
    for (const DType& dtype : dtypes()) {
      const Setting setting{isa, dtype, threads};
      const std::string type = isa + "/" + dtype_name(dtype);
      for (const int64_t tokens : {1, 4}) {
        add("decode/" + type + "/" + std::to_string(tokens), threads,
            [=](State& s) { decode(s, setting, tokens); });
      }
      for (const int64_t tokens : {16, 64, 256}) {
        add("prefill/" + type + "/" + std::to_string(tokens), threads,
            [=](State& s) { prefill(s, setting, tokens); });
      }
      if (dtype.group == 0) continue;
      const Setting exact{isa, dtype, threads, Activations::kF32};
      add("decode-f32/" + type + "/1", threads, [=](State& s) { decode(s, exact, 1); });
      add("prefill-f32/" + type + "/256", threads, [=](State& s) { prefill(s, exact, 256); });
    }
    for (const KvType kv : {KvType::kF16, KvType::kF32}) {
      const std::string name = "attention/" + isa + (kv == KvType::kF16 ? "/f16" : "/f32");
      add(name + "/256 at 256", threads,
          [=](State& s) { attention(s, isa, threads, kv, 256, 256); });
      add(name + "/1 at 4096", threads, [=](State& s) { attention(s, isa, threads, kv, 1, 4096); });
      add(name + "/1 at 32768", threads,
          [=](State& s) { attention(s, isa, threads, kv, 1, 32768); });
    }
  }
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  for (const int threads : {1, 2}) mica::bench::add_all(threads);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
