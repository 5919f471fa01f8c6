// A device for tests: the CPU backend's kernels over memory that the host cannot touch, with
// operations and copies that come late.
//
//   memory      a limit and a peak; reading or writing it from the host faults, and an operation
//               that is given an address which is not the device's, or is none of a live buffer,
//               throws std::logic_error. Freed memory is poisoned.
//   time        operations run on a thread of their own, so do the copies of each queue, each after
//               a random delay: what is not fenced is a wrong result, and a race to TSan
//   misfortune  MockOptions
//
// Results are the CPU backend's to the bit. Threads: as backend.h says.
#pragma once

#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/thread_pool.h"
#include "tests/support/mock_memory.h"
#include "tests/support/mock_stream.h"

namespace mica::testing {

struct MockOptions {
  uint64_t memory_bytes = 1 << 30;
  MockDelays delays;
  Activations activations = Activations::kInt8;
  int threads = 2;
  int64_t lost_after = INT64_MAX;   // operations: then every call throws
  bool refuses_pinning = false;     // memory of allocate_host() is plain, as backend.h allows
  uint64_t claimed_free_bytes = 0;  // what free_bytes() says; 0: the truth
  std::string report_file;          // when the device goes, a line is appended: report()
};

class MockBackend final : public Backend {
 public:
  explicit MockBackend(const MockOptions& options);
  ~MockBackend() override;

  // Including scratch memory.
  uint64_t used_bytes() const { return memory_.used(); }
  uint64_t peak_bytes() const { return memory_.peak(); }
  uint64_t pinned_bytes() const { return pinned_bytes_; }  // all that were ever asked for
  int64_t operations() const { return operations_; }
  // "peak 1048576 of 2147483648 bytes, 12 operations"
  std::string report() const;

  uint64_t free_bytes() const override;
  std::string name() const override { return "mock of " + cpu_->name(); }
  bool is_host() const override { return false; }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override;
  std::unique_ptr<DeviceBuffer> allocate_host(uint64_t bytes) override;
  uint64_t reserve(const StepLimits& limits) override;
  uint64_t measure(const StepLimits& limits) const override { return cpu_->measure(limits); }
  void require(const DType& dtype) override { cpu_->require(dtype); }

  void upload(std::span<const std::byte> from, std::byte* to) override;
  void download(const std::byte* from, std::span<std::byte> to) override;
  std::unique_ptr<CopyQueue> make_copy_queue() override;

  void embed(const EmbedArgs& args) override;
  void norm_linear(const NormLinearArgs& args) override;
  void gated_linear(const GatedLinearArgs& args) override;
  void linear_add(const LinearAddArgs& args) override;
  void norm_add(const NormAddArgs& args) override;
  void rope_store_kv(const RopeStoreArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void logits(const LogitsArgs& args) override;

 private:
  class Buffer;
  class Queue;

  void check_alive() const;  // throws Error(kRuntime) when the device is lost
  void run(std::function<void()> operation);
  void wait_for_all();

  std::byte* find(const void* address, uint64_t bytes, const char* what) const;
  template <class T>
  View<T> find(View<T> view, const char* what) const;
  Weight find(const Weight* weight, const char* what) const;
  Norm find(const Norm& norm) const;
  KvLayer find(const KvLayer& kv, std::span<const BatchSegment> segments) const;

  MockOptions options_;
  MockMemory memory_;
  ThreadPool pool_;
  std::unique_ptr<Backend> cpu_;
  int64_t operations_ = 0;
  uint64_t pinned_bytes_ = 0;
  std::vector<Queue*> queues_;  // those alive
  unsigned queues_made_ = 0;
  MockStream stream_;  // of the operations; ends before the rest
};

}  // namespace mica::testing
