// The threads of one block as fibers of one thread of the host: kernels run step by step, in an
// order that is always the same, and ASan sees every access.
//
// A fiber that waits (for a barrier, for the lanes of its warp) lets the next one run. When all
// wait and none can go on, some threads have left out a barrier or an exchange: the program ends
// with a sentence that says so, as the device would hang.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "backends/cuda/kernels/launch_shape.h"

namespace mica::cuda {

struct Place {
  int thread = 0, threads = 0;
  int block_x = 0, block_y = 0, block_z = 0;
  int grid_x = 0, grid_z = 0;
};
// Of the fiber that runs.
const Place& place();
// Filled with 0xff before each block.
std::byte* fiber_shared_memory();

void fiber_sync_block();
// Gives `word` of this lane to all lanes of its warp; returns those of all 32. The pointer holds
// until the lane's next exchange.
const uint64_t* fiber_exchange(uint64_t word);

// Runs `body` for every thread of every block; threads a multiple of 32, at most 1024.
void run_grid(const LaunchShape& shape, int threads, const std::function<void()>& body);

}  // namespace mica::cuda
