// The host build's own machinery.
#include "backends/cuda/shim/fibers.h"

#include <csignal>
#include <cstdio>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace mica::cuda {
namespace {

TEST_CASE("lanes exchange words again and again, and barriers hold a block together") {
  constexpr int kThreads = 96;
  std::vector<uint64_t> sums(2 * kThreads);
  std::vector<int> arrived(2);
  run_grid({.x = 2}, kThreads, [&] {
    const int thread = place().thread, block = place().block_x;
    uint64_t sum = 0;
    for (uint64_t round = 0; round < 5; ++round) {
      const uint64_t* words = fiber_exchange(round * 1000 + static_cast<uint64_t>(thread));
      for (int i = 0; i < 32; ++i) sum += words[i];
    }
    ++arrived[block];
    fiber_sync_block();
    CHECK(arrived[block] == kThreads);
    sums[block * kThreads + thread] = sum;
  });
  for (int i = 0; i < 2 * kThreads; ++i) {
    const int first = i % kThreads / 32 * 32;
    CHECK(sums[i] == 32 * 1000 * (0 + 1 + 2 + 3 + 4) + 5 * (32 * first + 31 * 16));
  }
}

TEST_CASE("shared memory is not zero before a kernel writes it") {
  run_grid({.shared_bytes = 8}, 32, [] {
    if (place().thread == 0) CHECK(fiber_shared_memory()[7] == std::byte{0xff});
  });
}

TEST_CASE("a barrier that some threads leave out ends the program") {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    (void)!freopen("/dev/null", "w", stderr);
    signal(SIGABRT, SIG_DFL);
    run_grid({}, 64, [] {
      if (place().thread != 17) fiber_sync_block();
    });
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
}

}  // namespace
}  // namespace mica::cuda
