#include "lib/backend/module_backend.h"

#include <utility>

#include "lib/backend/module_status.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// The result of a call of the table, its last argument a status.
template <class Function, class... Args>
auto call(Function* function, Args... args) {
  ModuleStatus status;
  if constexpr (std::is_void_v<decltype(function(args..., &status))>) {
    function(args..., &status);
    throw_status(status);
  } else {
    const auto result = function(args..., &status);
    throw_status(status);
    return result;
  }
}

enum class MemoryKind { kDevice, kHost };

class ModuleBuffer final : public DeviceBuffer {
 public:
  ModuleBuffer(const DeviceModule& module, void* device, MemoryKind kind, uint64_t bytes)
      : device_(device),
        release_(kind == MemoryKind::kDevice ? module.release : module.release_host),
        bytes_(bytes),
        data_(call(kind == MemoryKind::kDevice ? module.allocate : module.allocate_host, device,
                   bytes)) {}
  ~ModuleBuffer() override { release_(device_, data_); }
  std::byte* data() const override { return data_; }
  uint64_t bytes() const override { return bytes_; }

 private:
  void* device_;
  void (*release_)(void*, std::byte*);
  uint64_t bytes_;
  std::byte* data_;
};

class ModuleQueue final : public CopyQueue {
 public:
  ModuleQueue(const DeviceModule& module, void* device)
      : module_(module), queue_(call(module.open_queue, device)) {}
  ~ModuleQueue() override { module_.close_queue(queue_); }

  void upload(std::span<const std::byte> from, std::byte* to) override {
    call(module_.queue_upload, queue_, from.data(), to, uint64_t{from.size()});
  }
  void download(const std::byte* from, std::span<std::byte> to) override {
    call(module_.queue_download, queue_, from, to.data(), uint64_t{to.size()});
  }
  void wait_for_operations() override { call(module_.queue_wait_for_operations, queue_); }
  void hold_operations() override { call(module_.queue_hold_operations, queue_); }
  void synchronize() override { call(module_.queue_synchronize, queue_); }

 private:
  const DeviceModule& module_;
  void* queue_;
};

class ModuleBackend final : public Backend {
 public:
  ModuleBackend(const DeviceModule& module, int32_t index, const DeviceOptions& options)
      : module_(module), device_(call(module.open, index, &options)) {}
  ~ModuleBackend() override { module_.close(device_); }

  std::string name() const override {
    char text[256];
    call(module_.name, device_, &text[0], uint64_t{sizeof text});
    return text;
  }
  bool is_host() const override { return false; }
  uint64_t free_bytes() const override { return call(module_.free_bytes, device_); }

  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    return std::make_unique<ModuleBuffer>(module_, device_, MemoryKind::kDevice, bytes);
  }
  std::unique_ptr<DeviceBuffer> allocate_host(uint64_t bytes) override {
    return std::make_unique<ModuleBuffer>(module_, device_, MemoryKind::kHost, bytes);
  }
  uint64_t reserve(const StepLimits& limits) override {
    return call(module_.reserve, device_, &limits);
  }
  uint64_t measure(const StepLimits& limits) const override {
    return call(module_.measure, device_, &limits);
  }
  void require(const DType& dtype) override { call(module_.require, device_, &dtype); }

  void upload(std::span<const std::byte> from, std::byte* to) override {
    call(module_.upload, device_, from.data(), to, uint64_t{from.size()});
  }
  void download(const std::byte* from, std::span<std::byte> to) override {
    call(module_.download, device_, from, to.data(), uint64_t{to.size()});
  }
  std::unique_ptr<CopyQueue> make_copy_queue() override {
    return std::make_unique<ModuleQueue>(module_, device_);
  }

  void embed(const EmbedArgs& args) override { run(module_.embed, args); }
  void norm_linear(const NormLinearArgs& args) override { run(module_.norm_linear, args); }
  void gated_linear(const GatedLinearArgs& args) override { run(module_.gated_linear, args); }
  void linear_add(const LinearAddArgs& args) override { run(module_.linear_add, args); }
  void norm_add(const NormAddArgs& args) override { run(module_.norm_add, args); }
  void rope_store_kv(const RopeStoreArgs& args) override { run(module_.rope_store_kv, args); }
  void attention(const AttentionArgs& args) override { run(module_.attention, args); }
  void logits(const LogitsArgs& args) override { run(module_.logits, args); }

 private:
  // Operations are called a thousand times a token: with one status, cleared when it is thrown.
  template <class Args>
  void run(void (*operation)(void*, const Args*, ModuleStatus*), const Args& args) {
    operation(device_, &args, &status_);
    if (status_.code != 0) throw_status(status_);
  }

  const DeviceModule& module_;
  void* device_;
  ModuleStatus status_;
};

}  // namespace

DeviceFacts ModuleDevice::facts() const {
  DeviceFacts facts;
  call(module_->describe, index_, &facts);
  return facts;
}

std::unique_ptr<Backend> ModuleDevice::open(const DeviceOptions& options) const {
  return std::make_unique<ModuleBackend>(*module_, index_, options);
}

std::vector<ModuleDevice> devices_of(const DeviceModule& module) {
  ModuleStatus status;
  const int32_t count = module.count(&status);
  throw_status(status);
  if (count <= 0) {
    throw Error(ErrorCode::kUnsupported,
                status.text[0] ? status.text : std::string("no ") + module.kind + " device");
  }
  std::vector<ModuleDevice> devices;
  for (int32_t i = 0; i < count; ++i) devices.emplace_back(module, i);
  return devices;
}

}  // namespace mica
