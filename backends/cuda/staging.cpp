#include "backends/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace mica::cuda {

StagingRing::StagingRing(Driver& driver, StreamHandle stream) : driver_(driver), stream_(stream) {
  for (auto& event : events_) event.emplace(driver);
  pinned_ = driver.allocate_pinned(kPartBytes * kParts);
  if (pinned_ == nullptr) plain_ = std::make_unique<std::byte[]>(kPartBytes * kParts);
  ring_ = pinned_ ? pinned_ : plain_.get();
}

StagingRing::~StagingRing() {
  if (pinned_ != nullptr) driver_.release_pinned(pinned_);
}

void StagingRing::enter_next_part() {
  driver_.record(events_[part_]->get(), stream_);
  part_ = (part_ + 1) % kParts;
  driver_.synchronize(events_[part_]->get());  // at once for one never recorded
  used_ = 0;
}

void StagingRing::upload(const void* from, void* to, uint64_t bytes) {
  constexpr uint64_t kAlignment = 16;
  const auto* source = static_cast<const std::byte*>(from);
  auto* target = static_cast<std::byte*>(to);
  while (bytes > 0) {
    if (used_ == kPartBytes) enter_next_part();
    const uint64_t now = std::min(bytes, kPartBytes - used_);
    std::byte* place = ring_ + part_ * kPartBytes + used_;
    std::memcpy(place, source, now);
    driver_.upload(place, target, now, stream_);
    used_ = std::min(kPartBytes, (used_ + now + kAlignment - 1) / kAlignment * kAlignment);
    source += now, target += now, bytes -= now;
  }
}

}  // namespace mica::cuda
