// The program's side of the border (device_module.h): the devices of a loaded module, and backends
// that call its table. What a status says is thrown again as Error or std::bad_alloc.
//
// A table is valid until the process ends. Threads: as backend.h says for one Backend; ModuleDevice
// may be used from any.
#pragma once

#include <vector>

#include "lib/backend/device_module.h"

namespace mica {

class ModuleDevice {
 public:
  ModuleDevice(const DeviceModule& module, int32_t index) : module_(&module), index_(index) {}

  const char* kind() const { return module_->kind; }
  int32_t index() const { return index_; }
  DeviceFacts facts() const;
  // The device, for one user; to be opened again only when that backend is gone.
  std::unique_ptr<Backend> open(const DeviceOptions& options) const;

 private:
  const DeviceModule* module_;
  int32_t index_;
};

// All devices of a module; or throws Error with the module's own sentence why there is none.
std::vector<ModuleDevice> devices_of(const DeviceModule& module);

}  // namespace mica
