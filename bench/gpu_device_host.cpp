#include "backends/cuda/cuda_backend.h"
#include "bench/gpu_device.h"

namespace mica::bench {

std::unique_ptr<Backend> open_device(Activations activations) {
  return cuda::make_cuda_backend({.activations = activations});
}

}  // namespace mica::bench
