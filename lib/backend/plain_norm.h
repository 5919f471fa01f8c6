// A norm of one row in double precision: the reference backend's, and calibration's, for which
// backends have no operation.
#pragma once

#include "lib/backend/backend.h"

namespace mica {

// x, out: [size], which may be the same; without a norm x is copied.
void normalize_row(const Norm& norm, const float* x, int64_t size, float* out);

}  // namespace mica
