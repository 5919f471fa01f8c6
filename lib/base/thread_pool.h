// A fixed set of threads that run one job at a time, in microseconds.
//
// The calling thread takes part as thread 0. Workers spin for a few microseconds after a job, then
// sleep; nothing spins between requests. run() may be called from one thread at a time and not from
// a job (Error(kUsage)). The first exception of a job is rethrown by run() once all threads have
// stopped; those that wait at a barrier meanwhile are unwound.
#pragma once

#include <cstdint>
#include <memory>

namespace mica {

// A borrowed callable (with a const operator(), as lambdas have), valid during the call that takes
// it; never allocates.
template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
  FunctionRef(const F& callable)
      : object_(&callable), call_([](const void* object, Args... args) -> R {
          return (*static_cast<const F*>(object))(args...);
        }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  const void* object_;
  R (*call_)(const void*, Args...);
};

// Item range [begin, end).
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

  // Calls job(thread) once on each thread, thread in [0, size()), and waits for all.
  void run(FunctionRef<void(int)> job);
  // Splits [0, count) evenly over the threads: job(begin, end) at most once a thread.
  void split(int64_t count, FunctionRef<void(int64_t, int64_t)> job);
  // Inside run(): returns once all size() threads have arrived.
  void barrier();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
