// How far a conversion is, of what it has to do, as its callers are told.
//
// Counted in bytes read and written. Calibration and the measurement of sensitivity take far longer
// than reading the source: each counts as kSlowWork times that, so that the time left that follows
// from the share is nearly theirs.
#pragma once

#include <cstdint>
#include <functional>

#include "lib/base/log.h"

namespace mica {

constexpr uint64_t kSlowWork = 100;

class ConvertProgress {
 public:
  explicit ConvertProgress(const Progress& told) : told_(told) {}

  // There is more to do.
  void expect(uint64_t bytes) { total_ += bytes; }
  // That much was done. Throws Error(kInterrupted) when the caller wants no more.
  void add(uint64_t bytes);
  // For work that tells its share: it counts as `bytes`, which are expected from now on.
  std::function<void(double share)> begin(uint64_t bytes);

 private:
  const Progress& told_;
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace mica
