// The op conformance suite on the mock device, through the border of a module: all that the suite
// knows of the device comes from the table of mica-mock.so.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdlib>
#include <doctest/doctest.h>

#include "lib/backend/module_loader.h"
#include "tests/lib/backend/conformance.h"
#include "tests/support/mock_device.h"

namespace mica {
namespace {

using conformance::TestedBackend;

TEST_CASE("the mock device conforms") {
  setenv("MICA_MODULE_DIR", MOCK_FOLDER ":" BLAS_FOLDER, 1);
  setenv("MICA_MOCK_DEVICES", "1G", 1);
  const FoundDevices found = find_devices("mock");
  REQUIRE(found.why_none == "");
  conformance::check_all([&](int, Activations activations) {
    return TestedBackend{nullptr, found.devices[0].open({.activations = activations})};
  });
}

TEST_CASE("it does so when operations and copies are late") {
  const auto make = [](int threads, Activations activations) {
    return TestedBackend{nullptr, std::make_unique<testing::MockBackend>(testing::MockOptions{
                                      .delays = {.seed = 5, .most_microseconds = 200},
                                      .activations = activations,
                                      .threads = threads})};
  };
  conformance::check_memory(make);
  conformance::check_copies(make);
  conformance::check_norm_add(make);
}

}  // namespace
}  // namespace mica
