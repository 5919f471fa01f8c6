// The device that gpu_bench.cpp measures: of the CUDA module, or for a dry run the host build's.
#pragma once

#include <memory>

#include "lib/backend/backend.h"

namespace mica::bench {

// Throws Error with the sentence why there is none.
std::unique_ptr<Backend> open_device(Activations activations);

}  // namespace mica::bench
