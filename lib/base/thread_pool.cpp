#include "lib/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <fmt/format.h>
#include <mutex>
#include <optional>
#include <signal.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {
namespace {

using Clock = std::chrono::steady_clock;

// A thread waits for others' last pieces, and pieces of one token and of a long prompt differ a
// hundredfold. So it expects to wait no longer than it has worked since it last waited, within
// these bounds: for longer than between two jobs of a token, far shorter than between requests.
constexpr Clock::duration kLeastPatience = std::chrono::microseconds(10);
constexpr Clock::duration kMostPatience = std::chrono::microseconds(1000);
// Then another thread must have lost its processor. A yield may cost a time slice where another
// program wants this one, and a sleep more, so that comes last.
constexpr int kPatiencesBeforeSleep = 3;
constexpr int kPausesAtOnce = 32;  // about a microsecond

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A number that threads wait on to change.
struct Signal {
  // Spins, then yields, then sleeps, until the number is no longer `old`.
  void wait_for_change(uint32_t old) {
    thread_local Clock::time_point last_wait;
    std::optional<Clock::time_point> start;
    Clock::duration patience = kLeastPatience, waited{};
    do {
      for (int i = 0; i < kPausesAtOnce; ++i) {
        if (number.load(std::memory_order_acquire) != old) return;
        pause_cpu();
      }
      const Clock::time_point now = Clock::now();
      if (!start) {
        patience = std::clamp(now - std::exchange(last_wait, now), kLeastPatience, kMostPatience);
        start = now;
      }
      waited = now - *start;
      if (waited > patience) std::this_thread::yield();
    } while (waited < kPatiencesBeforeSleep * patience);
    sleepers.fetch_add(1);
    number.wait(old);
    sleepers.fetch_sub(1);
  }

  // After a change in sequentially consistent order, so that it is before the look at `sleepers`.
  // They are counted here because libstdc++ counts those of all numbers with a like address as one:
  // a thread asleep elsewhere would cost a system call for every job.
  void wake() {
    if (sleepers.load() > 0) number.notify_all();
  }

  alignas(64) std::atomic<uint32_t> number = 0;
  std::atomic<int32_t> sleepers = 0;
};

// While alive, new threads inherit a mask that leaves signals sent to the process (Ctrl-C) to the
// threads that were there before. Signals raised by a thread's own instructions stay open.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t blocked;
    sigfillset(&blocked);
    for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP})
      sigdelset(&blocked, own);
    pthread_sigmask(SIG_BLOCK, &blocked, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

Range split_range(int64_t count, int parts, int index) {
  const int64_t least = count / parts;
  const int64_t longer = count % parts;  // the first `longer` parts have one more
  const int64_t begin = least * index + std::min<int64_t>(index, longer);
  return {begin, begin + least + (index < longer ? 1 : 0)};
}

// The gate of a job: its number, whether workers may enter it, and how many have. A number comes
// again after 2^19 jobs; a worker that takes it for one it has done only misses that job.
constexpr uint32_t kEntered = 0x7ff;
constexpr uint32_t kOpen = 0x800;
constexpr uint32_t kNumber = 0x7ffff000;
constexpr uint32_t kNextNumber = 0x1000;
constexpr uint32_t kStop = 0x80000000;
static_assert(kMaxThreads - 1 <= kEntered);

struct ThreadPool::State {
  explicit State(int threads) : size(threads), parts(threads) {
    const SignalsBlocked blocked;
    workers.reserve(static_cast<size_t>(threads) - 1);
    try {
      for (int thread = 1; thread < threads; ++thread) {
        workers.emplace_back([this, thread] { work(thread); });
      }
    } catch (const std::system_error& error) {
      stop();
      throw Error(ErrorCode::kRuntime,
                  fmt::format("cannot start {} threads: {}", threads, error.what()));
    } catch (...) {
      stop();
      throw;
    }
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { stop(); }

  void stop() {
    gate.number.store(kStop);
    gate.wake();
    for (std::thread& worker : workers) worker.join();
    workers.clear();
  }

  void open_gate() {
    const uint32_t before = gate.number.load(std::memory_order_relaxed);
    gate.number.store(((before + kNextNumber) & kNumber) | kOpen);
    gate.wake();
  }

  void work(int thread) {
    for (uint32_t seen = 0;;) {
      uint32_t now = gate.number.load(std::memory_order_acquire);
      if (now & kStop) return;
      if (!(now & kOpen) || (now & kNumber) == seen) {
        gate.wait_for_change(now);
      } else if (gate.number.compare_exchange_weak(now, now + 1, std::memory_order_acq_rel)) {
        seen = now & kNumber;
        run_one(thread);
        left.number.fetch_add(1);
        left.wake();
      }
    }
  }

  void run_one(int thread) noexcept {
    try {
      (*job)(thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      failed.store(true, std::memory_order_relaxed);
    }
  }

  // Runs next_job with the threads that come, or on the caller alone.
  void run(FunctionRef<void(int)> next_job, bool alone) {
    failed.store(false, std::memory_order_relaxed);
    left.number.store(0, std::memory_order_relaxed);
    job = &next_job;
    if (!alone) open_gate();
    run_one(0);
    if (!alone) {
      const uint32_t entered = gate.number.fetch_and(~kOpen, std::memory_order_acq_rel) & kEntered;
      for (uint32_t now; (now = left.number.load(std::memory_order_acquire)) != entered;) {
        left.wait_for_change(now);
      }
    }
  }

  // Takes items of the thread's own part, then of the others'.
  void take_parts(int thread, int64_t grain, const FunctionRef<void(int, Range)>& ranges) {
    for (int i = 0; i < size; ++i) {
      Part& part = parts[(thread + i) % size];
      while (!failed.load(std::memory_order_relaxed) &&
             part.next.load(std::memory_order_relaxed) < part.end) {
        const int64_t begin = part.next.fetch_add(grain, std::memory_order_relaxed);
        if (begin < part.end) ranges(thread, {begin, std::min(part.end, begin + grain)});
      }
    }
  }

  // What is left of a thread's part of share().
  struct alignas(64) Part {
    std::atomic<int64_t> next;
    int64_t end;
  };

  const int size;
  std::vector<std::thread> workers;

  // Written before the gate opens and while nobody is inside.
  const FunctionRef<void(int)>* job = nullptr;
  std::vector<Part> parts;

  Signal gate;
  Signal left;  // workers that have entered and left

  alignas(64) std::atomic<bool> running = false;
  std::atomic<bool> failed = false;
  std::mutex failure_mutex;
  std::exception_ptr failure;

  // Held while a job runs.
  class Turn {
   public:
    explicit Turn(State& state) : state_(state) {
      if (state.running.exchange(true, std::memory_order_acquire)) {
        throw Error(ErrorCode::kUsage, "ThreadPool: expected an idle pool, found a job running");
      }
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { state_.running.store(false, std::memory_order_release); }

   private:
    State& state_;
  };

  void rethrow_failure() {
    if (failed.load(std::memory_order_relaxed)) {
      std::rethrow_exception(std::exchange(failure, nullptr));
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw Error(ErrorCode::kUsage,
                fmt::format("threads: expected 1 to {}, found {}", kMaxThreads, threads));
  }
  state_ = std::make_unique<State>(threads);
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::size() const {
  return state_->size;
}

void ThreadPool::share(int64_t count, int64_t grain, FunctionRef<void(int, Range)> job) {
  State& state = *state_;
  const State::Turn turn(state);
  for (int i = 0; i < state.size; ++i) {
    const Range range = split_range(count, state.size, i);
    state.parts[i].next.store(range.begin, std::memory_order_relaxed);
    state.parts[i].end = range.end;
  }
  state.run([&](int thread) { state.take_parts(thread, grain, job); },
            state.size == 1 || count <= grain);
  state.rethrow_failure();
}

void ThreadPool::run(FunctionRef<void(int)> job) {
  State& state = *state_;
  const State::Turn turn(state);
  state.run(job, state.size == 1);
  state.rethrow_failure();
}

}  // namespace mica
