// Rows of an embedding table as floats, gathered from panels or rows.
#pragma once

#include "lib/backend/backend.h"

namespace mica::cpu {

// out: [cols]; the values that WeightType::decode gives, times `scale`.
void embed_row(const Weight& table, int64_t row, float scale, float* out);

}  // namespace mica::cpu
