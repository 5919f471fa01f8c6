// A fixed set of threads that work on one job at a time, handed over in microseconds.
//
// The calling thread takes part as thread 0. A job is over when its work is done, not when every
// thread has come: a worker that has no processor at the moment (a busy machine, a small quota) is
// not waited for unless it holds a piece of the work. Workers spin for about as long as they
// worked, at most some milliseconds, then sleep; nothing spins between requests.
//
// Jobs are started from one thread at a time and not from a job (Error(kUsage)). The first
// exception of a job is rethrown once all threads have left it.
#pragma once

#include <cstdint>
#include <memory>

#include "lib/base/function_ref.h"

namespace mica {

// Items [begin, end).
struct Range {
  int64_t begin;
  int64_t end;
};

// Part `index` of `parts` of [0, count): sizes differ by at most one.
Range split_range(int64_t count, int parts, int index);

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls job(thread, range) until the ranges, of at most `grain` items, have covered [0, count)
  // once. Each thread begins with a contiguous part of its own and goes on with what others have
  // left; thread in [0, size()).
  void share(int64_t count, int64_t grain, FunctionRef<void(int, Range)> job);

  // Calls job(thread) on the calling thread and on every other one that comes before the caller's
  // call returns. So the job takes its work from a counter of its own.
  void run(FunctionRef<void(int)> job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
