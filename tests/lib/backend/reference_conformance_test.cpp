// The suite on the reference itself: its tolerances hold for the true result, and the operations
// whose expectation the suite computes on its own (attention, stored cache) agree with it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "lib/backend/reference_backend.h"
#include "tests/lib/backend/conformance.h"

namespace mica {
namespace {

TEST_CASE("the reference backend conforms to itself") {
  conformance::check_all([](int, Activations activations) {
    return conformance::TestedBackend{nullptr, make_reference_backend(activations)};
  });
}

}  // namespace
}  // namespace mica
