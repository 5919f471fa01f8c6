// Mock devices for engines under test.
#pragma once

#include <vector>

#include "lib/runtime/engine.h"

namespace mica::testing {

std::vector<EngineDevice> make_test_devices(int count);

}  // namespace mica::testing
