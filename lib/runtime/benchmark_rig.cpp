#include "lib/runtime/benchmark_rig.h"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "lib/base/stopwatch.h"
#include "lib/runtime/plan_machine.h"

namespace mica {
namespace {

DecoderLimits decoder_limits(const RigLimits& limits) {
  return {
      .tokens = std::max(limits.sequences, std::min(limits.positions, BenchmarkRig::kStepTokens)),
      .logit_rows = limits.sequences,
      .context = limits.positions};
}

// Spread over the vocabulary, without a pattern that caches could like.
int32_t id_at(int64_t sequence, int64_t position, int64_t vocabulary) {
  uint64_t mixed = static_cast<uint64_t>(sequence << 32 | position) * 0x9e3779b97f4a7c15u;
  mixed = (mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9u;
  return static_cast<int32_t>((mixed >> 32) % static_cast<uint64_t>(vocabulary));
}

}  // namespace

BenchmarkRig::BenchmarkRig(const MicaFile& file, const ModelConfig& config,
                           const ModelWeights& weights, const EngineOptions& options,
                           const RigLimits& limits, uint64_t bytes_beside)
    : file_(file),
      vocabulary_(config.vocabulary_size),
      engine_(options),
      placement_(plan_placement(engine_, file.path(), config, weights, limits.plan)),
      placed_(placement_ ? PlacedWeights(engine_, file, weights, *placement_)
                         : PlacedWeights(engine_, weights)),
      room_(make_room(
          {.name = "benchmark",
           .config = config,
           .parts = placed_.parts(),
           .streaming = placed_.streaming()},
          {.use = fmt::format("{} sequences of {} tokens", limits.sequences, limits.positions),
           .kv = limits.kv,
           .blocks = limits.sequences * KvPool::blocks_for(limits.positions),
           .limits = decoder_limits(limits),
           .streams = true,
           .bytes_beside = bytes_beside})) {
  for (const TensorRecord& tensor : file.tensors()) engine_.backend().require(tensor.dtype);
  for (int64_t i = 0; i < limits.sequences; ++i) {
    sequences_.emplace_back(*room_.pool).resize(limits.positions);
  }
}

double BenchmarkRig::prefill(int64_t sequence, int64_t begin, int64_t count, bool wants_logits) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(id_at(sequence, begin + i, vocabulary_));
  const BatchSegment segment{.first_row = 0,
                             .tokens = count,
                             .first_position = begin,
                             .blocks = sequences_[sequence].blocks()};
  const auto last = static_cast<int32_t>(count - 1);
  return step(ids, {&segment, 1}, {&last, wants_logits ? size_t{1} : size_t{0}});
}

double BenchmarkRig::decode(int64_t batch, int64_t position) {
  std::vector<int32_t> ids;
  std::vector<BatchSegment> segments;
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < batch; ++i) {
    ids.push_back(id_at(i, position, vocabulary_));
    segments.push_back({.first_row = i,
                        .tokens = 1,
                        .first_position = position,
                        .blocks = sequences_[i].blocks()});
    rows.push_back(static_cast<int32_t>(i));
  }
  return step(ids, segments, rows);
}

double BenchmarkRig::step(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
                          std::span<const int32_t> logit_rows) {
  const Stopwatch stopwatch;
  RowRange rows;
  if (!logit_rows.empty()) rows = {logit_rows.front(), std::ssize(logit_rows)};
  room_.pipeline->forward(ids, segments, *room_.pool, rows);
  if (!logit_rows.empty()) room_.pipeline->logits(logit_rows);
  const double seconds = stopwatch.seconds();
  file_.check();
  return seconds;
}

}  // namespace mica
