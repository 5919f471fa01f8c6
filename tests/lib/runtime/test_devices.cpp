#include "tests/lib/runtime/test_devices.h"

#include "tests/support/mock_device.h"

namespace mica::testing {

std::vector<EngineDevice> make_test_devices(int count, unsigned seed) {
  std::vector<EngineDevice> devices;
  for (int i = 0; i < count; ++i) {
    devices.push_back({.name = "test:" + std::to_string(i),
                       .facts = {},
                       .backend = std::make_unique<MockBackend>(MockOptions{
                           .delays = {.seed = seed, .most_microseconds = seed == 0 ? 0 : 20}})});
  }
  return devices;
}

}  // namespace mica::testing
