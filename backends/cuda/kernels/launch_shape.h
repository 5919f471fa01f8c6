// Where and in how many blocks a kernel is to run.
#pragma once

namespace mica::cuda {

struct LaunchShape {
  void* stream = nullptr;
  unsigned x = 1, y = 1, z = 1;  // blocks
  int shared_bytes = 0;          // a block
};

}  // namespace mica::cuda
