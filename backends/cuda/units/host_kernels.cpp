// All kernels for the host.
#include "backends/cuda/shim/host_shim.h"
//
#include "backends/cuda/units/attention_kernels.h"
#include "backends/cuda/units/float_kernels.h"
#include "backends/cuda/units/pointwise_kernels.h"
#include "backends/cuda/units/stream_kernels.h"
#include "backends/cuda/units/tile_kernels.h"
