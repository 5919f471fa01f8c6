// Attention over the block cache: which thread computes what, and the order of merging.
//
// Work items are (sequence, tile of query rows, kv head): all query heads of a kv head and as many
// tokens as fill a tile read the same keys. With few items and a long context each item is divided
// further into pieces of kPiecePositions positions. Either way every piece is summed by itself and
// merged in ascending order, so that the division never shows in the results.
#pragma once

#include <vector>

#include "backends/cpu/kernels/kernels.h"
#include "lib/backend/backend.h"
#include "lib/base/aligned_buffer.h"
#include "lib/base/thread_pool.h"

namespace mica::cpu {

class AttentionRunner {
 public:
  AttentionRunner(ThreadPool& pool, const Kernels& kernels);

  // Makes room for steps up to `limits`; returns the bytes held.
  uint64_t reserve(const StepLimits& limits);
  void rope_store_kv(const RopeStoreArgs& args);
  void attention(const AttentionArgs& args);

 private:
  struct ThreadMemory {
    AlignedBuffer floats;
    AttentionScratch scratch;
    AttentionState piece, total;
  };

  void run_whole(const AttentionArgs& args, int64_t items);
  void run_divided(const AttentionArgs& args, int64_t items, int64_t pieces);
  void store_rows(const RopeStoreArgs& args, Range rows);

  ThreadPool& pool_;
  const Kernels& kernels_;
  std::vector<ThreadMemory> threads_;
  AlignedBuffer partials_;  // of run_divided
};

}  // namespace mica::cpu
