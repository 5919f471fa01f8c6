#include "lib/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <numeric>
#include <sched.h>
#include <signal.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <vector>

#include "tests/support/error_of.h"

using namespace mica;
using mica::testing::error_of;

namespace {

double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Every thread writes its phase and, past the barrier, must see that all others have.
void run_phases(ThreadPool& pool, int phases) {
  std::vector<int> phase_of(static_cast<size_t>(pool.size()) * 16);  // a cache line apart
  std::atomic<int> wrong = 0;
  pool.run([&](int thread) {
    for (int phase = 1; phase <= phases; ++phase) {
      phase_of[static_cast<size_t>(thread) * 16] = phase;
      pool.barrier();
      for (int other = 0; other < pool.size(); ++other) {
        wrong += phase_of[static_cast<size_t>(other) * 16] != phase;
      }
      pool.barrier();
    }
  });
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("parts of a range are contiguous, complete and differ by one at most") {
  for (const int64_t count : {0ll, 1ll, 2ll, 7ll, 64ll, 1000ll, (1ll << 62) + 3}) {
    for (int parts = 1; parts < 20; ++parts) {
      int64_t end = 0;
      for (int index = 0; index < parts; ++index) {
        const Range range = split_range(count, parts, index);
        REQUIRE(range.begin == end);
        REQUIRE(range.end - range.begin >= count / parts);
        REQUIRE(range.end - range.begin <= count / parts + 1);
        end = range.end;
      }
      REQUIRE(end == count);
    }
  }
}

TEST_CASE("a job runs once on each thread, again and again") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    REQUIRE(pool.size() == threads);
    std::vector<int> runs(static_cast<size_t>(threads));
    for (int i = 0; i < 500; ++i) {
      pool.run([&](int thread) { ++runs[static_cast<size_t>(thread)]; });
    }
    for (const int count : runs) CHECK(count == 500);
  }
}

TEST_CASE("the caller is thread 0 and the others are not the caller") {
  ThreadPool pool(3);
  std::vector<std::thread::id> ids(3);
  pool.run([&](int thread) { ids[static_cast<size_t>(thread)] = std::this_thread::get_id(); });
  CHECK(ids[0] == std::this_thread::get_id());
  CHECK(ids[1] != ids[0]);
  CHECK(ids[2] != ids[1]);
}

TEST_CASE("a split covers every item once and calls no thread for nothing") {
  ThreadPool pool(4);
  for (const int64_t count : {0, 1, 3, 4, 5, 1001}) {
    std::vector<int> seen(static_cast<size_t>(count));
    std::atomic<int> calls = 0;
    pool.split(count, [&](int64_t begin, int64_t end) {
      ++calls;
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    CHECK(std::accumulate(seen.begin(), seen.end(), 0) == count);
    CHECK(calls == std::min<int64_t>(count, 4));
  }
}

TEST_CASE("no thread passes a barrier before all have arrived") {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    run_phases(pool, 300);
    run_phases(pool, 1);
  }
}

TEST_CASE("barriers end on one processor too") {
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);  // threads made from here on inherit it
  {
    ThreadPool pool(4);
    run_phases(pool, 200);
  }
  sched_setaffinity(0, sizeof(before), &before);
}

TEST_CASE("an exception of any thread comes out of run, and the pool goes on") {
  ThreadPool pool(3);
  for (int thrower = 0; thrower < 3; ++thrower) {
    const Error error = error_of([&] {
      pool.run([&](int thread) {
        if (thread == thrower) throw Error(ErrorCode::kInterrupted, "stopped");
      });
    });
    CHECK(error.code() == ErrorCode::kInterrupted);
    CHECK(error.message() == "stopped");
  }
  CHECK_THROWS_AS(pool.run([](int) { throw std::runtime_error("all at once"); }),
                  std::runtime_error);
  run_phases(pool, 10);
}

TEST_CASE("an exception frees the threads that wait at a barrier") {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> passed = 0;
    CHECK_THROWS_AS(pool.run([&](int thread) {
      pool.barrier();
      if (thread == round % 4) throw std::runtime_error("one");
      pool.barrier();
      ++passed;
    }),
                    std::runtime_error);
    CHECK(passed == 0);
  }
  run_phases(pool, 10);
}

TEST_CASE("a job that runs another job is refused") {
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads);
    const Error error = error_of([&] { pool.run([&](int) { pool.run([](int) {}); }); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK_NOTHROW(pool.run([](int) {}));
  }
}

TEST_CASE("idle threads sleep") {
  ThreadPool pool(4);
  pool.run([](int) {});
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  // Four spinning threads would use 0.2 s and more, on any number of processors.
  CHECK(cpu_seconds() - before < 0.05);
}

TEST_CASE("pools come and go, used or not") {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 3 == 0) pool.run([](int) {});
  }
}

TEST_CASE("two pools work side by side") {
  ThreadPool first(2);
  std::thread other([] {
    ThreadPool second(2);
    run_phases(second, 500);
  });
  run_phases(first, 500);
  other.join();
}

TEST_CASE("workers leave Ctrl-C to the caller and keep the signals of their own faults") {
  ThreadPool pool(2);
  sigset_t caller, worker;
  pool.run(
      [&](int thread) { pthread_sigmask(SIG_BLOCK, nullptr, thread == 0 ? &caller : &worker); });
  CHECK(sigismember(&caller, SIGINT) == 0);
  CHECK(sigismember(&worker, SIGINT) == 1);
  CHECK(sigismember(&worker, SIGBUS) == 0);
  CHECK(sigismember(&worker, SIGSEGV) == 0);
}

TEST_CASE("a number of threads that makes no sense is refused") {
  for (const int threads : {0, -1, 1025}) CHECK_THROWS_AS(ThreadPool{threads}, Error);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("threads that cannot be started are an error") {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit = {1 << 29, 1 << 29};  // 64 stacks of 8 MiB
    setrlimit(RLIMIT_AS, &limit);
    try {
      ThreadPool pool(1024);
      _exit(1);
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::kRuntime ? 0 : 2);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
#endif
