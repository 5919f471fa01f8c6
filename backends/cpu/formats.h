// The weight types that the kernels know.
#pragma once

#include <optional>

#include "backends/cpu/kernels/kernels.h"
#include "lib/tensor/dtype.h"

namespace mica::cpu {

std::optional<Format> find_format(const DType& dtype);
// The same for a type that find_format() knows, at once.
Format format_of(const DType& dtype);
std::optional<RowFormat> find_row_format(const DType& dtype);

}  // namespace mica::cpu
