#include "tests/lib/runtime/test_devices.h"

#include "backends/cpu/cpu_backend.h"

namespace mica::testing {

std::vector<EngineDevice> make_test_devices(int count) {
  static ThreadPool pool(1);
  std::vector<EngineDevice> devices;
  for (int i = 0; i < count; ++i) {
    devices.push_back({.name = "test:" + std::to_string(i),
                       .facts = {},
                       .backend = make_cpu_backend(pool, {.isa = "generic"})});
  }
  return devices;
}

}  // namespace mica::testing
