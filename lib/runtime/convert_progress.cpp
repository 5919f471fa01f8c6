#include "lib/runtime/convert_progress.h"

#include <utility>

#include "lib/base/error.h"

namespace mica {

void ConvertProgress::add(uint64_t bytes) {
  done_ += bytes;
  if (!told_ || told_(done_, total_)) return;
  throw Error(ErrorCode::kInterrupted, "conversion interrupted; nothing was changed");
}

std::function<void(double)> ConvertProgress::begin(uint64_t bytes) {
  expect(bytes);
  return [this, bytes, before = uint64_t{0}](double share) mutable {
    const auto now = static_cast<uint64_t>(share * static_cast<double>(bytes));
    add(now > before ? now - std::exchange(before, now) : 0);  // also asks whether to go on
  };
}

}  // namespace mica
