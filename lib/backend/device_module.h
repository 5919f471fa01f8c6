// The border between Mica and a module with a device's backend: a shared library with one C entry,
// found at run time. A program without the module, or a machine without the device, has no devices
// of that kind.
//
// Functions take a status, fill it and never throw. Arguments of operations are the structs of
// backend.h as they are: the ABI number stands for them too, and module and program are built
// together. module_export.h makes the table from a Backend, module_backend.h a Backend from the
// table.
#pragma once

#include <cstdint>

#include "lib/backend/backend.h"

namespace mica {

// Grows with every change of this file or of backend.h.
constexpr uint32_t kDeviceModuleAbi = 2;
constexpr char kDeviceModuleEntry[] = "mica_device_module";

struct ModuleStatus {
  int32_t code = 0;  // 0, or an ErrorCode; kOutOfMemory: std::bad_alloc
  char text[1020] = {};
  static constexpr int32_t kOutOfMemory = -1;
};

// Numbers 0: not known.
struct DeviceFacts {
  char name[128] = {};  // "NVIDIA H200"
  uint64_t memory_bytes = 0;
  uint64_t free_bytes = 0;             // now, with the module's own code loaded
  double read_bytes_per_second = 0;    // of its memory, by its clock and width
  double int8_operations = 0;          // a second, multiplications and additions, by its clock
  double float_operations = 0;         // likewise in bf16
  double upload_bytes_per_second = 0;  // from the host, by its link
};

struct DeviceOptions {
  Activations activations = Activations::kInt8;
};

struct DeviceModule {
  uint32_t abi;
  const char* kind;  // "cuda"

  // Devices of this machine. 0 with a text when there is none: "no NVIDIA driver: libcuda.so.1
  // ...".
  int32_t (*count)(ModuleStatus*);
  void (*describe)(int32_t index, DeviceFacts*, ModuleStatus*);
  void* (*open)(int32_t index, const DeviceOptions*, ModuleStatus*);
  void (*close)(void* device);

  // Backend, function by function; `device` is what open() gave.
  void (*name)(void* device, char* text, uint64_t size, ModuleStatus*);
  uint64_t (*free_bytes)(void* device, ModuleStatus*);
  std::byte* (*allocate)(void* device, uint64_t bytes, ModuleStatus*);
  void (*release)(void* device, std::byte* data);
  std::byte* (*allocate_host)(void* device, uint64_t bytes, ModuleStatus*);
  void (*release_host)(void* device, std::byte* data);
  uint64_t (*reserve)(void* device, const StepLimits*, ModuleStatus*);
  uint64_t (*measure)(void* device, const StepLimits*, ModuleStatus*);
  void (*require)(void* device, const DType*, ModuleStatus*);
  void (*upload)(void* device, const std::byte* from, std::byte* to, uint64_t bytes, ModuleStatus*);
  void (*download)(void* device, const std::byte* from, std::byte* to, uint64_t bytes,
                   ModuleStatus*);

  void (*embed)(void* device, const EmbedArgs*, ModuleStatus*);
  void (*norm_linear)(void* device, const NormLinearArgs*, ModuleStatus*);
  void (*gated_linear)(void* device, const GatedLinearArgs*, ModuleStatus*);
  void (*linear_add)(void* device, const LinearAddArgs*, ModuleStatus*);
  void (*norm_add)(void* device, const NormAddArgs*, ModuleStatus*);
  void (*rope_store_kv)(void* device, const RopeStoreArgs*, ModuleStatus*);
  void (*attention)(void* device, const AttentionArgs*, ModuleStatus*);
  void (*logits)(void* device, const LogitsArgs*, ModuleStatus*);

  // CopyQueue, likewise.
  void* (*open_queue)(void* device, ModuleStatus*);
  void (*close_queue)(void* queue);
  void (*queue_upload)(void* queue, const std::byte* from, std::byte* to, uint64_t bytes,
                       ModuleStatus*);
  void (*queue_download)(void* queue, const std::byte* from, std::byte* to, uint64_t bytes,
                         ModuleStatus*);
  void (*queue_wait_for_operations)(void* queue, ModuleStatus*);
  void (*queue_hold_operations)(void* queue, ModuleStatus*);
  void (*queue_synchronize)(void* queue, ModuleStatus*);
};

// The module's table, or nullptr when `abi` is not its own.
using DeviceModuleEntry = const DeviceModule* (*)(uint32_t abi);

}  // namespace mica
