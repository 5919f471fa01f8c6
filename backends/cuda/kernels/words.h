// What one load of a lane brings.
#pragma once

#include <cstdint>

namespace mica::cuda {

struct Words2 {
  uint32_t x, y;
};
struct Words4 {
  uint32_t x, y, z, w;
};

}  // namespace mica::cuda
