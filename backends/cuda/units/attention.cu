// attention_kernels.h for nvcc.
#include "backends/cuda/shim/cuda_shim.h"
//
#include "backends/cuda/units/attention_kernels.h"
