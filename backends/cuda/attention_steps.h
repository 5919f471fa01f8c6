// Where the rows of a step lie in the cache: positions and block tables on their way to the device,
// and the launches of attention over them.
#pragma once

#include <span>
#include <vector>

#include "backends/cuda/products.h"
#include "backends/cuda/staging.h"

namespace mica::cuda {

class AttentionSteps {
 public:
  explicit AttentionSteps(StagingRing& ring) : ring_(ring) {}

  void rope_store_kv(const Session& session, const RopeStoreArgs& args);
  void attention(const Session& session, const AttentionArgs& args);
  // The device's copies are gone: the workspace has moved.
  void forget();

 private:
  // Segments [first, last) whose tables fit, on the device.
  size_t stage(const Session& session, std::span<const BatchSegment> segments, size_t first,
               int64_t rows);
  void stage_tiles(const Session& session, int64_t tokens_a_tile);
  void launch(const Session& session, const AttentionArgs& args);

  StagingRing& ring_;
  // What the device holds now: layers of one step ask for the same.
  std::vector<RowPlace> places_;
  std::vector<int32_t> tables_;
  std::vector<AttentionTile> tiles_;
  // Of the segments staged last: tokens of one sequence.
  std::vector<AttentionTile> runs_;
};

}  // namespace mica::cuda
