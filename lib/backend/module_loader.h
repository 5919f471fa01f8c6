// Finds and loads the modules with backends of other devices than the CPU: mica-KIND.so, where
// lib/base/module_file.h says. What is missing or wrong is a sentence, never an end.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/backend/module_backend.h"

namespace mica {

// Kinds of devices there may be modules for: "cuda", and what else lies in the folders of
// MICA_MODULE_DIR.
std::vector<std::string> device_kinds();

struct FoundDevices {
  std::vector<ModuleDevice> devices;
  std::string why_none;  // one sentence, where there are no devices
};

// Loads the module of one kind, which stays loaded until the process ends.
FoundDevices find_devices(std::string_view kind);

}  // namespace mica
