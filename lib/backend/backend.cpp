#include "lib/backend/backend.h"

#include <algorithm>
#include <cstring>

#include "lib/backend/step_limits.h"
#include "lib/base/aligned_buffer.h"

namespace mica {
namespace {

void copy(std::span<const std::byte> from, std::byte* to) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

// Where memory is the host's, a copy is done when it is called.
class PlainCopies final : public CopyQueue {
 public:
  void upload(std::span<const std::byte> from, std::byte* to) override { copy(from, to); }
  void download(const std::byte* from, std::span<std::byte> to) override {
    copy({from, to.size()}, to.data());
  }
  void wait_for_operations() override {}
  void hold_operations() override {}
  void synchronize() override {}
};

class PlainBuffer final : public DeviceBuffer {
 public:
  explicit PlainBuffer(uint64_t bytes) : buffer_(bytes + kAlignment), bytes_(bytes) {}
  std::byte* data() const override {
    const auto address = reinterpret_cast<uintptr_t>(buffer_.data());
    return buffer_.data() + (-address & (kAlignment - 1));
  }
  uint64_t bytes() const override { return bytes_; }

 private:
  static constexpr uint64_t kAlignment = 4096;
  AlignedBuffer buffer_;
  uint64_t bytes_;
};

}  // namespace

StepLimits larger(const StepLimits& a, const StepLimits& b) {
  return {.tokens = std::max(a.tokens, b.tokens),
          .logit_rows = std::max(a.logit_rows, b.logit_rows),
          .input_cols = std::max(a.input_cols, b.input_cols),
          .output_rows = std::max(a.output_rows, b.output_rows),
          .heads = std::max(a.heads, b.heads),
          .head_size = std::max(a.head_size, b.head_size),
          .context = std::max(a.context, b.context),
          .float_weights = a.float_weights || b.float_weights};
}

void Backend::upload(std::span<const std::byte> from, std::byte* to) {
  copy(from, to);
}

void Backend::download(const std::byte* from, std::span<std::byte> to) {
  copy({from, to.size()}, to.data());
}

std::unique_ptr<CopyQueue> Backend::make_copy_queue() {
  return std::make_unique<PlainCopies>();
}

std::unique_ptr<DeviceBuffer> Backend::allocate_host(uint64_t bytes) {
  return std::make_unique<PlainBuffer>(bytes);
}

}  // namespace mica
