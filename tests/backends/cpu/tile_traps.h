// Runs the instructions of AMX on an x86-64 processor that lacks them: each is an invalid opcode
// there, and while this object lives, SIGILL executes it on thread_tiles(). So the kernels that AMX
// machines run are tested byte by byte, only slowly.
#pragma once

#include <csignal>

namespace mica::testing {

class TileTraps {
 public:
  TileTraps();
  ~TileTraps();
  TileTraps(const TileTraps&) = delete;
  TileTraps& operator=(const TileTraps&) = delete;

 private:
  struct sigaction before_;
};

}  // namespace mica::testing
