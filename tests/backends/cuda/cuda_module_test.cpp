// The real module on this machine. Without a driver it has no devices and says why; with one,
// devices have facts.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdlib>
#include <dlfcn.h>
#include <doctest/doctest.h>

#include "lib/backend/module_loader.h"

namespace mica {
namespace {

bool has_driver() {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver != nullptr) dlclose(driver);
  return driver != nullptr;
}

TEST_CASE("the module is loaded, and has devices or one sentence why not") {
  REQUIRE(setenv("MICA_MODULE_DIR", MICA_CUDA_MODULE_DIR, 1) == 0);
  const FoundDevices found = find_devices("cuda");
  if (!has_driver()) {
    CHECK(found.devices.empty());
    CHECK(found.why_none.find(
              "no NVIDIA driver: libcuda.so.1 was not found; this module needs one for "
              "CUDA ") != std::string::npos);
    CHECK(found.why_none.find('\n') == std::string::npos);
    return;
  }
  CHECK(found.devices.empty() != found.why_none.empty());
  for (const ModuleDevice& device : found.devices) {
    const DeviceFacts facts = device.facts();
    CHECK(facts.name[0] != 0);
    CHECK(facts.memory_bytes >= facts.free_bytes);
    CHECK(facts.read_bytes_per_second > 0);
  }
}

TEST_CASE("another ABI gets no table") {
  void* module = dlopen(MICA_CUDA_MODULE_DIR "/mica-cuda.so", RTLD_NOW | RTLD_LOCAL);
  REQUIRE(module != nullptr);
  const auto entry = reinterpret_cast<DeviceModuleEntry>(dlsym(module, kDeviceModuleEntry));
  REQUIRE((entry != nullptr));
  CHECK((entry(kDeviceModuleAbi + 1) == nullptr));
  CHECK(std::string(entry(kDeviceModuleAbi)->kind) == "cuda");
  // Nothing else of it can be taken for a symbol of the program's.
  CHECK(dlsym(module, "mica_stream_q4_1") == nullptr);
}

}  // namespace
}  // namespace mica
