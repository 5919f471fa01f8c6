// Products, attention and their limits on this machine.
//
//   bench-kernels                 what decides speed, on the best ISA with all threads: a minute
//   bench-kernels --all           every ISA, type and number of tokens: half an hour
//   bench-kernels --benchmark_filter='decode/avx512vnni/.*/threads:1'     a part of all
//
// limit/read/WHERE/LOOP   bytes a second from DRAM or a cache, by several loops: the fastest counts
// decode/ISA/TYPE/TOKENS  one token (or a few) times a weight larger than the caches: bytes of the
//                         weights a second, `share` of the rate at which they can be read
// prefill/ISA/TYPE/TOKENS tokens times a weight that stays in the caches: operations a second,
//                         `share` of the int8 peak (the float peak for f32, f16 and bf16 weights)
// attention/ISA/KV        tokens of 9 heads over 3 kv heads of 64 channels at some depth
//
// Shares are of limits measured right after.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/machine_limits.h"
#include "lib/base/aligned_buffer.h"
#include "lib/base/error.h"
#include "lib/base/half.h"
#include "lib/base/host.h"
#include "lib/base/stopwatch.h"
#include "quant/weight_type.h"

namespace mica::bench {
namespace {

using benchmark::Counter;
using benchmark::State;

// Of weights; several times a last-level cache's share.
constexpr uint64_t kStreamedBytes = 192 << 20;

void limit_read(State& state, int threads, const cpu::ReadLoop& loop, uint64_t bytes) {
  const AlignedBuffer buffer = cpu::make_read_buffer(bytes);
  ThreadPool pool(threads);
  double rate = 0;
  for (auto _ : state) rate += cpu::measure_read(pool, loop, buffer.data(), bytes);
  state.counters["bytes_per_second"] = Counter(rate, Counter::kAvgIterations, Counter::kIs1024);
}

void limit_compute(State& state, int threads, const cpu::PeakLoop& loop) {
  ThreadPool pool(threads);
  double rate = 0;
  for (auto _ : state) rate += cpu::measure_peak(pool, loop);
  state.counters["ops"] = Counter(rate, Counter::kAvgIterations);
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

struct Shape {
  int64_t rows, cols, tokens;
};

// Gives the limit of a product in bytes or operations a second.
using Limit = std::function<double(ThreadPool&)>;

// `amount`: bytes or operations of a product.
void run_product(State& state, const Setting& setting, const Shape& shape, double amount,
                 const Limit& limit) {
  const auto [rows, cols, tokens] = shape;
  ThreadPool pool(setting.threads);
  const auto backend =
      make_cpu_backend(pool, {.isa = setting.isa, .activations = setting.activations});
  backend->reserve({.tokens = tokens,
                    .input_cols = cols,
                    .float_weights = setting.dtype.layout == TensorLayout::kRows});
  const BenchWeight weight(setting.dtype, rows, cols);
  std::vector<float> x = normals(tokens * cols), out(tokens * rows);
  const Projection projection{&weight.weight, {}, {out.data(), tokens, rows}};
  const Stopwatch stopwatch;
  for (auto _ : state) {
    backend->norm_linear({.x = {x.data(), tokens, cols}, .projections = {&projection, 1}});
  }
  const double seconds = stopwatch.seconds();
  const auto count = static_cast<double>(state.iterations());
  state.counters["share"] = count * amount / seconds / limit(pool);
  state.SetBytesProcessed(static_cast<int64_t>(count * static_cast<double>(weight.bytes.bytes())));
  state.counters["ops"] =
      Counter(static_cast<double>(2 * rows * cols * tokens), Counter::kIsIterationInvariantRate);
}

void decode(State& state, const Setting& setting, int64_t tokens) {
  constexpr int64_t kCols = 2048;
  const auto rows =
      static_cast<int64_t>(kStreamedBytes / (bits_per_weight(setting.dtype) / 8 * kCols));
  const Shape shape{rows / kPanelRows * kPanelRows, kCols, tokens};
  const double bytes = bits_per_weight(setting.dtype) / 8 * shape.rows * kCols;
  run_product(state, setting, shape, bytes, [](ThreadPool& pool) {
    static const AlignedBuffer buffer = cpu::make_read_buffer(kStreamedBytes);
    double fastest = 0;
    for (const cpu::ReadLoop& loop : cpu::read_loops()) {
      fastest = std::max(fastest, cpu::measure_read(pool, loop, buffer.data(), buffer.bytes()));
    }
    return fastest;
  });
}

void prefill(State& state, const Setting& setting, int64_t tokens) {
  const Shape shape{1536, 1536, tokens};
  const bool integer = setting.dtype.group > 0 && setting.activations == Activations::kInt8;
  const cpu::PeakLoop* loop = integer ? cpu::int8_peak(setting.isa) : cpu::float_peak(setting.isa);
  const double operations = 2.0 * shape.rows * shape.cols * shape.tokens;
  run_product(state, setting, shape, operations, [&](ThreadPool& pool) {
    return loop ? cpu::measure_peak(pool, *loop) : std::numeric_limits<double>::quiet_NaN();
  });
}

// Stores random keys and values at all positions: pages never written would all be the zero page.
void fill_cache(Backend& backend, const KvLayer& kv, int64_t heads, int64_t positions,
                const std::vector<int32_t>& table) {
  constexpr int64_t kStep = 256;
  const int64_t kv_heads = kv.layout.kv_heads, size = kv.layout.head_size;
  std::vector<float> q(kStep * heads * size);
  std::vector<float> k = normals(kStep * kv_heads * size);
  const std::vector<float> v = k, cosine(kStep * size / 2, 1.0f), sine(cosine.size(), 0.0f);
  for (int64_t begin = 0; begin < positions; begin += kStep) {
    const int64_t count = std::min(kStep, positions - begin);
    const BatchSegment segment{0, count, begin, table};
    backend.rope_store_kv(
        {.q = {q.data(), count, heads, size},
         .k = {k.data(), count, kv_heads, size},
         .v = {v.data(), count, kv_heads, size},
         .rope = {{cosine.data(), count, size / 2}, {sine.data(), count, size / 2}},
         .kv = kv,
         .segments = {&segment, 1}});
  }
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
  fill_cache(*backend, {layout, cache.data()}, kHeads, positions, table);
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
  const auto guarded = [=](State& state) {
    try {
      run(state);
    } catch (const Error& error) {  // float weights without their module, say
      state.SkipWithError(error.message().c_str());
    }
  };
  benchmark::RegisterBenchmark((name + "/threads:" + std::to_string(threads)).c_str(), guarded)
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

void add_limits(int threads) {
  const struct {
    const char* name;
    uint64_t bytes;
  } places[] = {{"DRAM", 256 << 20}, {"L3", 12 << 20}, {"L2", uint64_t(threads) << 19}};
  for (const auto& place : places) {
    for (const cpu::ReadLoop& loop : cpu::read_loops()) {
      add(std::string("limit/read/") + place.name + "/" + loop.name, threads,
          [=](State& s) { limit_read(s, threads, loop, place.bytes); });
    }
  }
  for (const IsaInfo& info : cpu_isas()) {
    if (!info.available) continue;
    const auto add_peak = [&](const char* kind, const cpu::PeakLoop* loop) {
      if (loop == nullptr) return;
      add(std::string("limit/") + kind + "/" + loop->isa, threads,
          [=](State& s) { limit_compute(s, threads, *loop); });
    };
    add_peak("int8", cpu::int8_peak(info.name));
    add_peak("float", cpu::float_peak(info.name));
  }
}

void add_products(int threads, const std::string& isa) {
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
}

void add_attention(int threads, const std::string& isa) {
  const struct {
    KvType type;
    const char* name;
  } types[] = {{KvType::kF16, "f16"},
               {KvType::kBF16, "bf16"},
               {KvType::kInt8, "int8"},
               {KvType::kF32, "f32"}};
  for (const auto& [kv, type] : types) {
    const std::string name = "attention/" + isa + "/" + type;
    add(name + "/256 at 256", threads,
        [=, kv = kv](State& s) { attention(s, isa, threads, kv, 256, 256); });
    for (const int64_t depth : {4096, 32768}) {
      add(name + "/1 at " + std::to_string(depth), threads,
          [=, kv = kv](State& s) { attention(s, isa, threads, kv, 1, depth); });
    }
  }
}

// The benchmarks that run when neither --all nor a filter is given.
std::string default_filter(int threads) {
  const std::string isa = choose_isa("auto");
  return "^(limit/read/.*|limit/(int8|float)/" + isa + "|decode/" + isa +
         "/q(4|4s|4m|8)g(32|64)/1|prefill/" + isa + "/q(4|4m|8)g(32|64)/256|attention/" + isa +
         "/(f16|int8)/.*)/threads:" + std::to_string(threads) + "(/real_time)?$";
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  using namespace mica;
  const int threads = choose_threads(read_host_facts(), 0).threads;
  for (int count = 1;; count = threads) {
    bench::add_limits(count);
    for (const IsaInfo& info : cpu_isas()) {
      if (!info.available) continue;
      bench::add_products(count, info.name);
      bench::add_attention(count, info.name);
    }
    if (count == threads) break;
  }
  std::vector<char*> arguments(argv, argv + argc);
  const auto asks_for = [&](std::string_view option) {
    return std::erase_if(arguments, [&](const char* word) { return word == option; }) > 0;
  };
  std::string filter = "--benchmark_filter=" + bench::default_filter(threads);
  // Options given later win, a filter of the user among them.
  if (!asks_for("--all")) arguments.insert(arguments.begin() + 1, filter.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
