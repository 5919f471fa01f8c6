#include "lib/runtime/benchmark.h"

#include <algorithm>
#include <deque>
#include <fmt/format.h>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/machine_limits.h"
#include "lib/base/error.h"
#include "lib/base/stopwatch.h"
#include "lib/model/architecture.h"
#include "lib/runtime/benchmark_cases.h"
#include "lib/runtime/benchmark_rig.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

constexpr uint64_t kPrivateCacheBytes = 256 << 10;  // of a thread: in the second level anywhere
constexpr double kTickSeconds = 0.5;
constexpr int64_t kMaxRepetitions = 1000;
constexpr int64_t kMaxBatch = 256;

void require_range(std::string_view what, int64_t value, int64_t low, int64_t high,
                   const std::string& why = "") {
  if (value >= low && value <= high) return;
  throw Error(ErrorCode::kUsage, fmt::format("benchmark {}: expected {} .. {}{}, found {}", what,
                                             low, high, why, value));
}

std::vector<ThreadChoice> choose_each(const HostFacts& host, const std::vector<int>& requested) {
  if (requested.empty()) return {choose_running_threads(host, 0)};
  std::vector<ThreadChoice> chosen;
  for (const int count : requested) {
    require_range("threads", count, 1, kMaxThreads);
    chosen.push_back(choose_running_threads(host, count));
  }
  return chosen;
}

void check_options(const BenchmarkOptions& options, const ModelConfig& config) {
  const std::string why = ", the model's context";
  for (const int64_t tokens : options.prompts) {
    require_range("prompt", tokens, 0, config.context_length, why);
  }
  for (const int64_t depth : options.depths) {
    require_range("depth", depth, 0, config.context_length, why);
  }
  for (const int64_t batch : options.batches) require_range("batch", batch, 1, kMaxBatch);
  require_range("generated tokens", options.generated, 0, config.context_length, why);
  require_range("repetitions", options.repetitions, 1, kMaxRepetitions);
}

int64_t largest(const std::vector<int64_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

class Benchmark {
 public:
  Benchmark(const MicaFile& file, const BenchmarkOptions& options,
            const BenchmarkProgress& progress);
  BenchmarkResult run();

 private:
  // Samples of MachineLimits, one a repetition.
  struct Samples {
    std::vector<double> read, read_at_model_size, read_from_cache, int8, fma;
  };

  void describe_model();
  void make_rigs();
  void describe_places(const BenchmarkRig& rig);
  void fill();
  void measure_limits(size_t rig);
  void measure_case(BenchmarkRig& rig, BenchmarkCase& c);
  double measure_limit(const BenchmarkRig& rig, const BenchmarkCase& c) const;
  double prefill(BenchmarkRig& rig, int64_t depth, int64_t tokens);
  double decode(BenchmarkRig& rig, const BenchmarkCase& c);
  double read_rate(const BenchmarkRig& rig, double bytes) const;
  double peak_rate(const BenchmarkRig& rig, const cpu::PeakLoop* loop) const;
  void tick(std::string_view doing, uint64_t done, uint64_t total);
  void tick_sometimes();

  const MicaFile& file_;
  const BenchmarkOptions& options_;
  const BenchmarkProgress& progress_;
  const HostFacts host_ = read_host_facts();
  ModelConfig config_;
  ModelWeights weights_;
  RigLimits rig_limits_;
  AlignedBuffer buffer_;
  std::deque<BenchmarkRig> rigs_;  // one for each number of threads
  std::vector<Samples> samples_;
  BenchmarkResult result_;

  std::string doing_;
  uint64_t done_ = 0, total_ = 0;
  Stopwatch since_tick_;
};

Benchmark::Benchmark(const MicaFile& file, const BenchmarkOptions& options,
                     const BenchmarkProgress& progress)
    : file_(file),
      options_(options),
      progress_(progress),
      config_(parse_model_config(file.metadata()["model"], file.path())),
      weights_(bind_weights(file, config_, find_architecture(config_.architecture, file.path()))) {
  check_options(options, config_);
  const int64_t tokens = std::max(largest(options.prompts), options.generated);
  const bool decodes = options.generated > 0;
  rig_limits_ = {.positions = std::max<int64_t>(1, largest(options.depths) + tokens),
                 .sequences = decodes ? std::max<int64_t>(1, largest(options.batches)) : 1,
                 .kv = options.kv,
                 .plan = options.plan};
  rig_limits_.plan.context =
      std::min(config_.context_length, rig_limits_.positions * rig_limits_.sequences);
  rig_limits_.plan.kv = {options.kv};
  rig_limits_.plan.chunk = std::min(rig_limits_.plan.context, BenchmarkRig::kStepTokens);
  describe_model();
}

void Benchmark::describe_model() {
  result_.cpu = host_.cpu_name;
  result_.isa = choose_engine_isa(options_.engine.isa);
  result_.model = config_.name;
  result_.weights = dtype_name(weights_.layers.front().up.dtype);
  const WeightCounts counts = count_weights(weights_);
  result_.weight_bytes = static_cast<uint64_t>(counts.linear_bytes + counts.head_bytes);
  result_.kv = options_.kv;
  for (const ThreadChoice& choice : choose_each(host_, options_.threads)) {
    result_.limits.push_back({.threads = choice});
    for (BenchmarkCase& c : benchmark_cases(options_, config_, weights_, choice.threads)) {
      result_.cases.push_back(std::move(c));
    }
  }
}

void Benchmark::make_rigs() {
  const uint64_t buffer = read_buffer_bytes(host_.memory_available_bytes);
  uint64_t reserved = buffer;
  for (const MachineLimits& limits : result_.limits) {
    EngineOptions options = options_.engine;
    options.threads = limits.threads.threads;
    rigs_.emplace_back(file_, config_, weights_, options, rig_limits_, reserved);
    reserved += rigs_.back().reserved_bytes();
  }
  describe_places(rigs_.back());
  samples_.resize(rigs_.size());
  tick("preparing", 0, 1);
  buffer_ = cpu::make_read_buffer(buffer);
}

void Benchmark::describe_places(const BenchmarkRig& rig) {
  if (!rig.placement()) return;
  for (const PlacedPart& part : rig.placement()->parts) {
    if (part.layers == 0) continue;
    result_.places.push_back(fmt::format(
        "layers {} .. {} on {}", part.first_layer, part.first_layer + part.layers - 1,
        part.device == kHostDevice ? "the host" : rig.engine().devices()[part.device].name));
  }
}

// Keys and values that cases begin with, and a step of each kind.
void Benchmark::fill() {
  const int64_t depth = largest(options_.depths);
  const int64_t total = depth * rig_limits_.sequences * std::ssize(rigs_);
  int64_t done = 0;
  for (BenchmarkRig& rig : rigs_) {
    for (int64_t sequence = 0; sequence < rig_limits_.sequences; ++sequence) {
      for (int64_t begin = 0; begin < depth;) {
        const int64_t count = rig.step_tokens(depth - begin);
        rig.prefill(sequence, begin, count, false);
        begin += count;
        tick("filling the context", done += count, total);
      }
    }
    tick("warming up", 0, 1);
    if (const int64_t prompt = rig.step_tokens(largest(options_.prompts))) {
      rig.prefill(0, 0, prompt, true);
    }
    if (options_.generated > 0) rig.decode(rig_limits_.sequences, depth);
  }
}

BenchmarkResult Benchmark::run() {
  make_rigs();
  fill();
  const uint64_t total = options_.repetitions * result_.cases.size();
  uint64_t done = 0;
  const size_t cases = result_.cases.size() / rigs_.size();  // of one number of threads
  for (int repetition = 0; repetition < options_.repetitions; ++repetition) {
    for (size_t i = 0; i < rigs_.size(); ++i) {
      measure_limits(i);
      tick("measuring", done, total);
      for (size_t k = 0; k < cases; ++k) {
        measure_case(rigs_[i], result_.cases[i * cases + k]);
        tick("measuring", ++done, total);
      }
    }
  }
  return std::move(result_);
}

void Benchmark::measure_limits(size_t index) {
  const BenchmarkRig& rig = rigs_[index];
  Samples& samples = samples_[index];
  MachineLimits& limits = result_.limits[index];
  const auto sample = [](std::vector<double>& values, double value) {
    values.push_back(value);
    return median(values);
  };
  const double threads = limits.threads.threads;
  if (buffer_.bytes() >= kLeastDramBytes) {
    limits.read = sample(samples.read, read_rate(rig, static_cast<double>(buffer_.bytes())));
  }
  limits.read_at_model_size =
      sample(samples.read_at_model_size, read_rate(rig, static_cast<double>(result_.weight_bytes)));
  limits.read_from_cache =
      sample(samples.read_from_cache, read_rate(rig, threads * kPrivateCacheBytes));
  limits.int8 = sample(samples.int8, peak_rate(rig, cpu::int8_peak(result_.isa)));
  limits.fma = sample(samples.fma, peak_rate(rig, cpu::float_peak(result_.isa)));
}

void Benchmark::measure_case(BenchmarkRig& rig, BenchmarkCase& c) {
  const bool is_prefill = c.test == BenchmarkTest::kPrefill;
  const double seconds = is_prefill ? prefill(rig, c.depth, c.tokens) : decode(rig, c);
  const double rate = static_cast<double>(c.tokens * c.batch) / seconds;
  c.tokens_per_second.push_back(rate);
  const double limit = rig.placement() ? 0 : measure_limit(rig, c);
  if (limit == 0) return;
  c.limit_rates.push_back(limit);
  c.limit_shares.push_back(rate * (is_prefill ? c.operations_per_token : c.bytes_per_token) /
                           limit);
}

double Benchmark::measure_limit(const BenchmarkRig& rig, const BenchmarkCase& c) const {
  switch (c.limit) {
    case BenchmarkLimit::kInt8:
      return peak_rate(rig, cpu::int8_peak(result_.isa));
    case BenchmarkLimit::kFma:
      return peak_rate(rig, cpu::float_peak(result_.isa));
    case BenchmarkLimit::kRead:
      break;
  }
  return read_rate(rig, c.bytes_per_token * static_cast<double>(c.batch));
}

double Benchmark::prefill(BenchmarkRig& rig, int64_t depth, int64_t tokens) {
  double seconds = 0;
  for (int64_t done = 0; done < tokens;) {
    const int64_t count = rig.step_tokens(tokens - done);
    seconds += rig.prefill(0, depth + done, count, done + count == tokens);
    done += count;
    tick_sometimes();
  }
  return seconds;
}

double Benchmark::decode(BenchmarkRig& rig, const BenchmarkCase& c) {
  double seconds = 0;
  for (int64_t i = 0; i < c.tokens; ++i) {
    seconds += rig.decode(c.batch, c.depth + i);
    tick_sometimes();
  }
  return seconds;
}

// Of the fastest loop, over `bytes` or as many as there is memory for.
double Benchmark::read_rate(const BenchmarkRig& rig, double bytes) const {
  const double limited = std::min(bytes, static_cast<double>(buffer_.bytes()));
  const uint64_t whole = std::max<uint64_t>(1, static_cast<uint64_t>(limited) / cpu::kReadMultiple);
  double fastest = 0;
  for (const cpu::ReadLoop& loop : cpu::read_loops()) {
    fastest = std::max(fastest, cpu::measure_read(rig.engine().pool(), loop, buffer_.data(),
                                                  whole * cpu::kReadMultiple));
  }
  return fastest;
}

double Benchmark::peak_rate(const BenchmarkRig& rig, const cpu::PeakLoop* loop) const {
  constexpr int kTries = 3;  // one may be cut short by others' work
  double fastest = 0;
  for (int i = 0; loop != nullptr && i < kTries; ++i) {
    fastest = std::max(fastest, cpu::measure_peak(rig.engine().pool(), *loop));
  }
  return fastest;
}

void Benchmark::tick(std::string_view doing, uint64_t done, uint64_t total) {
  doing_ = doing;
  done_ = done;
  total_ = total;
  since_tick_ = Stopwatch();
  if (!progress_ || progress_(result_, doing, done, total)) return;
  throw Error(ErrorCode::kInterrupted, "benchmark interrupted");
}

void Benchmark::tick_sometimes() {
  if (since_tick_.seconds() >= kTickSeconds) tick(doing_, done_, total_);
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

BenchmarkResult run_benchmark(const MicaFile& file, const BenchmarkOptions& options,
                              const BenchmarkProgress& progress) {
  return Benchmark(file, options, progress).run();
}

}  // namespace mica
