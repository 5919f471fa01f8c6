#include "lib/backend/module_loader.h"

#include <algorithm>
#include <dlfcn.h>
#include <filesystem>
#include <set>

#include "lib/base/error.h"
#include "lib/base/module_file.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "mica-", kSuffix = ".so";

const DeviceModule& load_module(const std::string& path) {
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (module == nullptr) {
    throw Error(ErrorCode::kRuntime,
                path + ": expected a module of Mica, found what cannot be loaded: " + dlerror());
  }
  const auto entry = reinterpret_cast<DeviceModuleEntry>(dlsym(module, kDeviceModuleEntry));
  const DeviceModule* table = entry ? entry(kDeviceModuleAbi) : nullptr;
  if (table == nullptr || table->abi != kDeviceModuleAbi) {
    throw Error(ErrorCode::kRuntime, path + ": expected a module with '" + kDeviceModuleEntry +
                                         "' of ABI " + std::to_string(kDeviceModuleAbi) +
                                         ", found another" + (entry ? " ABI" : " file"));
  }
  return *table;
}

const DeviceModule& find_module(std::string_view kind) {
  std::string searched;
  const std::string file = std::string(kPrefix) + std::string(kind) + std::string(kSuffix);
  for (const std::string& path : module_paths(file, "backends/" + std::string(kind))) {
    std::error_code ignored;
    if (fs::exists(path, ignored)) return load_module(path);
    searched += (searched.empty() ? "" : ", ") + path;
  }
  throw Error(ErrorCode::kUnsupported, std::string(kind) + " devices: expected the module " + file +
                                           ", not found at " + searched);
}

}  // namespace

std::vector<std::string> device_kinds() {
  std::set<std::string> others;
  for (const std::string& folder : chosen_module_folders()) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string file = entry.path().filename();
      if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) continue;
      others.insert(file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size()));
    }
  }
  others.erase("blas");  // the CPU backend's
  others.erase("cuda");
  std::vector<std::string> kinds = {"cuda"};
  kinds.insert(kinds.end(), others.begin(), others.end());
  return kinds;
}

FoundDevices find_devices(std::string_view kind) {
  try {
    return {devices_of(find_module(kind)), ""};
  } catch (const Error& error) {
    return {{}, error.message()};
  }
}

}  // namespace mica
