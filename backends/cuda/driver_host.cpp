// A device made of the host's memory: kernels run on fibers when they are started, copies when they
// are called. Every allocation is a heap block of its own, so that ASan sees what leaves it.
#include <cstdlib>
#include <cstring>

#include "backends/cuda/driver.h"
#include "backends/cuda/host_faults.h"
#include "lib/base/error.h"

namespace mica::cuda {
namespace {

class HostDriver final : public Driver {
 public:
  std::string device_name() const override { return "host build"; }
  // Few, so that attention is divided in some tests and not in others.
  int multiprocessors() const override { return 4; }
  uint64_t free_bytes() override { return 0; }

  std::byte* allocate(uint64_t bytes) override {
    use();
    if (bytes > host_faults().most_bytes || bytes > UINT64_MAX / 2) return nullptr;
    // aligned_alloc would want a multiple of the alignment, and ASan less of the end.
    void* data = nullptr;
    if (posix_memalign(&data, 256, bytes) != 0) return nullptr;
    std::memset(data, 0xff, bytes);
    return static_cast<std::byte*>(data);
  }
  void release(std::byte* data) noexcept override { std::free(data); }
  std::byte* allocate_pinned(uint64_t bytes) override {
    if (host_faults().refuses_pinning) return nullptr;
    void* data = nullptr;
    return posix_memalign(&data, 4096, bytes) == 0 ? static_cast<std::byte*>(data) : nullptr;
  }
  void release_pinned(std::byte* data) noexcept override { std::free(data); }

  StreamHandle make_stream() override { return nullptr; }
  void release_stream(StreamHandle) noexcept override {}
  EventHandle make_event() override { return nullptr; }
  void release_event(EventHandle) noexcept override {}
  void record(EventHandle, StreamHandle) override {}
  void wait(StreamHandle, EventHandle) override {}
  void synchronize(EventHandle) override {}
  void synchronize_stream(StreamHandle) override { use(); }

  void clear(std::byte* data, uint64_t bytes, StreamHandle) override {
    std::memset(data, 0, bytes);
  }
  void upload(const void* from, void* to, uint64_t bytes, StreamHandle) override {
    use();
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void download(const void* from, void* to, uint64_t bytes, StreamHandle) override {
    use();
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void use() override {
    if (host_faults().is_lost) throw Error(ErrorCode::kRuntime, "host build: the device is lost");
  }
  void check_launch(const char*) override {}
};

}  // namespace

HostFaults& host_faults() {
  static HostFaults faults;
  return faults;
}

int count_devices(std::string&) {
  return 1;
}
DeviceFacts describe_device(int) {
  DeviceFacts facts;
  std::strcpy(facts.name, "host build");
  return facts;
}
std::unique_ptr<Driver> Driver::open(int) {
  return std::make_unique<HostDriver>();
}

}  // namespace mica::cuda
