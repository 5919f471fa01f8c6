// tile_kernels.h for nvcc.
#include "backends/cuda/shim/cuda_shim.h"
//
#include "backends/cuda/units/tile_kernels.h"
