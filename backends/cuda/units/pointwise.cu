// pointwise_kernels.h for nvcc.
#include "backends/cuda/shim/cuda_shim.h"
//
#include "backends/cuda/units/pointwise_kernels.h"
