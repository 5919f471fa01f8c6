// Small pieces of the host's memory on their way to the device, through a pinned ring: what is
// copied is free again at once, and nothing waits unless the ring is a whole round ahead of the
// device.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "backends/cuda/driver.h"

namespace mica::cuda {

class StagingRing {
 public:
  StagingRing(Driver& driver, StreamHandle stream);
  ~StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  // In the stream's order.
  void upload(const void* from, void* to, uint64_t bytes);

 private:
  // Parts of the ring; each is used again when the device has passed its event.
  static constexpr uint64_t kPartBytes = 256 << 10;
  static constexpr int kParts = 4;

  void enter_next_part();

  Driver& driver_;
  StreamHandle stream_;
  std::byte* pinned_ = nullptr;
  std::unique_ptr<std::byte[]> plain_;
  std::byte* ring_;
  std::array<std::optional<Event>, kParts> events_;
  int part_ = 0;
  uint64_t used_ = 0;
};

}  // namespace mica::cuda
