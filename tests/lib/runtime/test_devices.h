// Mock devices for engines under test.
#pragma once

#include <vector>

#include "lib/runtime/engine.h"

namespace mica::testing {

// With a seed, operations and copies come late at random.
std::vector<EngineDevice> make_test_devices(int count, unsigned seed = 0);

}  // namespace mica::testing
