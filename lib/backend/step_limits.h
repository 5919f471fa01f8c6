// Limits of steps, compared.
#pragma once

#include "lib/backend/backend.h"

namespace mica {

// Room for steps of either. What backends hold grows so and is never taken back: it may have been
// promised to another session.
StepLimits larger(const StepLimits& a, const StepLimits& b);

}  // namespace mica
