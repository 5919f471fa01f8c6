// A module's side of the border (device_module.h): its table, made from the backends it has. No
// exception leaves a function of it.
//
//   struct CudaDevices {
//     static constexpr char kKind[] = "cuda";
//     static int32_t count();  // throws Error with the sentence when there is none
//     static DeviceFacts describe(int32_t index);
//     static std::unique_ptr<Backend> open(int32_t index, const DeviceOptions& options);
//   };
//   extern "C" __attribute__((visibility("default")))
//   const mica::DeviceModule* mica_device_module(uint32_t abi) {
//     return mica::export_devices<CudaDevices>(abi);
//   }
#pragma once

#include <algorithm>
#include <type_traits>
#include <unordered_map>

#include "lib/backend/module_status.h"

namespace mica {

// What `call` returns, or nothing of that type and a status.
template <class Call>
auto call_guarded(ModuleStatus* status, const Call& call) noexcept -> decltype(call()) {
  using Result = decltype(call());
  try {
    return call();
  } catch (...) {
    set_status_of_exception(*status);
  }
  if constexpr (!std::is_void_v<Result>) return Result{};
}

// What stands behind a `void* device` of the table: a backend, and the buffers it lent.
class ExportedDevice {
 public:
  explicit ExportedDevice(std::unique_ptr<Backend> made) : backend(std::move(made)) {}
  static ExportedDevice& of(void* device) { return *static_cast<ExportedDevice*>(device); }

  class Lent {
   public:
    std::byte* keep(std::unique_ptr<DeviceBuffer> buffer) {
      std::byte* data = buffer->data();
      buffers_.emplace(data, std::move(buffer));
      return data;
    }
    void release(std::byte* data) { buffers_.erase(data); }

   private:
    std::unordered_map<std::byte*, std::unique_ptr<DeviceBuffer>> buffers_;
  };

  const std::unique_ptr<Backend> backend;
  Lent device_memory, host_memory;
};

inline void export_memory(DeviceModule& table) {
  // Empty buffers too have addresses of their own, by which they are released.
  table.allocate = [](void* device, uint64_t bytes, ModuleStatus* status) {
    auto& exported = ExportedDevice::of(device);
    return call_guarded(status, [&] {
      return exported.device_memory.keep(exported.backend->allocate(std::max<uint64_t>(bytes, 1)));
    });
  };
  table.release = [](void* device, std::byte* data) {
    ExportedDevice::of(device).device_memory.release(data);
  };
  table.allocate_host = [](void* device, uint64_t bytes, ModuleStatus* status) {
    auto& exported = ExportedDevice::of(device);
    return call_guarded(status, [&] {
      return exported.host_memory.keep(
          exported.backend->allocate_host(std::max<uint64_t>(bytes, 1)));
    });
  };
  table.release_host = [](void* device, std::byte* data) {
    ExportedDevice::of(device).host_memory.release(data);
  };
  table.upload = [](void* device, const std::byte* from, std::byte* to, uint64_t bytes,
                    ModuleStatus* status) {
    call_guarded(status, [&] { ExportedDevice::of(device).backend->upload({from, bytes}, to); });
  };
  table.download = [](void* device, const std::byte* from, std::byte* to, uint64_t bytes,
                      ModuleStatus* status) {
    call_guarded(status, [&] { ExportedDevice::of(device).backend->download(from, {to, bytes}); });
  };
}

// A member function of a backend that takes one argument by reference.
template <auto kOperation, class Args, class Result = void>
Result export_call(void* device, const Args* args, ModuleStatus* status) {
  return call_guarded(status,
                      [&] { return ((*ExportedDevice::of(device).backend).*kOperation)(*args); });
}

inline void export_operations(DeviceModule& table) {
  table.reserve = export_call<&Backend::reserve, StepLimits, uint64_t>;
  table.measure = export_call<&Backend::measure, StepLimits, uint64_t>;
  table.require = export_call<&Backend::require, DType>;
  table.embed = export_call<&Backend::embed, EmbedArgs>;
  table.norm_linear = export_call<&Backend::norm_linear, NormLinearArgs>;
  table.gated_linear = export_call<&Backend::gated_linear, GatedLinearArgs>;
  table.linear_add = export_call<&Backend::linear_add, LinearAddArgs>;
  table.norm_add = export_call<&Backend::norm_add, NormAddArgs>;
  table.rope_store_kv = export_call<&Backend::rope_store_kv, RopeStoreArgs>;
  table.attention = export_call<&Backend::attention, AttentionArgs>;
  table.logits = export_call<&Backend::logits, LogitsArgs>;
}

template <void (CopyQueue::*kFence)()>
void export_fence(void* queue, ModuleStatus* status) {
  call_guarded(status, [&] { (static_cast<CopyQueue*>(queue)->*kFence)(); });
}

inline void export_queue(DeviceModule& table) {
  table.open_queue = [](void* device, ModuleStatus* status) {
    return call_guarded(status, [&]() -> void* {
      return ExportedDevice::of(device).backend->make_copy_queue().release();
    });
  };
  table.close_queue = [](void* queue) { delete static_cast<CopyQueue*>(queue); };
  table.queue_upload = [](void* queue, const std::byte* from, std::byte* to, uint64_t bytes,
                          ModuleStatus* status) {
    call_guarded(status, [&] { static_cast<CopyQueue*>(queue)->upload({from, bytes}, to); });
  };
  table.queue_download = [](void* queue, const std::byte* from, std::byte* to, uint64_t bytes,
                            ModuleStatus* status) {
    call_guarded(status, [&] { static_cast<CopyQueue*>(queue)->download(from, {to, bytes}); });
  };
  table.queue_wait_for_operations = export_fence<&CopyQueue::wait_for_operations>;
  table.queue_hold_operations = export_fence<&CopyQueue::hold_operations>;
  table.queue_synchronize = export_fence<&CopyQueue::synchronize>;
}

template <class Devices>
void export_facts(DeviceModule& table) {
  table.abi = kDeviceModuleAbi;
  table.kind = Devices::kKind;
  table.count = [](ModuleStatus* status) {
    return call_guarded(status, [] { return Devices::count(); });
  };
  table.describe = [](int32_t index, DeviceFacts* facts, ModuleStatus* status) {
    call_guarded(status, [&] { *facts = Devices::describe(index); });
  };
  table.open = [](int32_t index, const DeviceOptions* options, ModuleStatus* status) {
    return call_guarded(status, [&]() -> void* {
      return std::make_unique<ExportedDevice>(Devices::open(index, *options)).release();
    });
  };
  table.close = [](void* device) { delete &ExportedDevice::of(device); };
  table.name = [](void* device, char* text, uint64_t size, ModuleStatus* status) {
    call_guarded(status, [&] {
      copy_text(ExportedDevice::of(device).backend->name(), {text, size});
    });
  };
  table.free_bytes = [](void* device, ModuleStatus* status) {
    return call_guarded(status, [&] { return ExportedDevice::of(device).backend->free_bytes(); });
  };
}

// The table, or nullptr when `abi` is not the one this was built with.
template <class Devices>
const DeviceModule* export_devices(uint32_t abi) {
  static const DeviceModule table = [] {
    DeviceModule made{};
    export_facts<Devices>(made);
    export_memory(made);
    export_operations(made);
    export_queue(made);
    return made;
  }();
  return abi == kDeviceModuleAbi ? &table : nullptr;
}

}  // namespace mica
