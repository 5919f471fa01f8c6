// One engine with sequences to be measured: what a benchmark runs its cases on.
//
// Token ids are a fixed function of sequence and position, so that a step run again writes the keys
// and values that were there before: cases need no context of their own. One thread at a time;
// file, config and weights outlive it.
#pragma once

#include <deque>
#include <optional>

#include "formats/reader.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/placed_weights.h"
#include "lib/runtime/plan.h"
#include "lib/runtime/room.h"

namespace mica {

struct RigLimits {
  int64_t positions = 0;  // of each sequence
  int64_t sequences = 0;
  KvType kv = KvType::kF16;
  PlanRequest plan;  // of where layers go, on an engine with devices
};

class BenchmarkRig {
 public:
  static constexpr int64_t kStepTokens = 512;  // of a prefill step on the host at most

  // Throws Error(kDoesNotFit) unless its memory is available beside `bytes_beside` that others were
  // promised.
  BenchmarkRig(const MicaFile& file, const ModelConfig& config, const ModelWeights& weights,
               const EngineOptions& options, const RigLimits& limits, uint64_t bytes_beside);
  // Memory that it may come to use, besides the file.
  uint64_t reserved_bytes() const { return room_.host_bytes; }
  // Of a prefill of `tokens`, in its first step.
  int64_t step_tokens(int64_t tokens) const { return room_.pipeline->step_tokens(tokens); }
  // Nothing where all is on the host.
  const std::optional<Placement>& placement() const { return placement_; }

  const Engine& engine() const { return engine_; }

  // Tokens [begin, begin + count) of one sequence, at most step_tokens(count), and the logits after
  // the last of them if wanted; seconds that took. The positions before must hold their tokens.
  double prefill(int64_t sequence, int64_t begin, int64_t count, bool wants_logits);
  // The token at `position` of the first `batch` sequences together, and the logits after each.
  double decode(int64_t batch, int64_t position);

 private:
  double step(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
              std::span<const int32_t> logit_rows);

  const MicaFile& file_;
  int64_t vocabulary_;
  Engine engine_;
  std::optional<Placement> placement_;
  PlacedWeights placed_;
  Room room_;
  std::deque<KvSequence> sequences_;
};

}  // namespace mica
