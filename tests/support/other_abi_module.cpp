// mica-other.so: a module that was built for another version of the border.
#include "lib/backend/device_module.h"

extern "C" __attribute__((visibility("default"))) const mica::DeviceModule* mica_device_module(
    uint32_t abi) {
  static const mica::DeviceModule table{};
  return abi == mica::kDeviceModuleAbi + 1 ? &table : nullptr;
}
