#include "lib/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <functional>
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

// A job in which every thread waits until all have come.
class Meeting {
 public:
  explicit Meeting(const ThreadPool& pool) : missing_(pool.size()) {}
  void join() {
    for (--missing_; missing_ > 0;) std::this_thread::yield();
  }

 private:
  std::atomic<int> missing_;
};

void run_on_all(ThreadPool& pool, const std::function<void(int)>& job) {
  Meeting meeting(pool);
  pool.run([&](int thread) {
    meeting.join();
    job(thread);
  });
}

// Every item exactly once, and the writes of one job visible to the next.
void share_items(ThreadPool& pool, int jobs) {
  constexpr int64_t kItems = 100;
  std::vector<int> seen(kItems);
  for (int i = 0; i < jobs; ++i) {
    pool.share(kItems, 3, [&](int, Range part) {
      for (int64_t item = part.begin; item < part.end; ++item) ++seen[item];
    });
  }
  CHECK(seen == std::vector<int>(kItems, jobs));
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

TEST_CASE("a job runs at most once on each thread, and on all that come, again and again") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    REQUIRE(pool.size() == threads);
    std::vector<int> runs(static_cast<size_t>(threads));
    for (int i = 0; i < 300; ++i) run_on_all(pool, [&](int thread) { ++runs[thread]; });
    CHECK(runs == std::vector<int>(runs.size(), 300));
  }
}

TEST_CASE("the caller is thread 0 and the others are not the caller") {
  ThreadPool pool(3);
  std::vector<std::thread::id> ids(3);
  run_on_all(pool, [&](int thread) { ids[thread] = std::this_thread::get_id(); });
  CHECK(ids[0] == std::this_thread::get_id());
  CHECK(ids[1] != ids[0]);
  CHECK(ids[2] != ids[1]);
}

TEST_CASE("shared work covers every item once, in pieces of the grain at most") {
  for (const int threads : {1, 2, 4, 7}) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 3, 4, 5, 1001}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> seen(static_cast<size_t>(count));
        std::atomic<int> wrong = 0;
        pool.share(count, grain, [&](int thread, Range part) {
          wrong += thread < 0 || thread >= threads;
          wrong += part.begin < 0 || part.begin >= part.end || part.end > count;
          wrong += part.end - part.begin > grain;
          for (int64_t i = part.begin; i < part.end; ++i) ++seen[static_cast<size_t>(i)];
        });
        CHECK(wrong == 0);
        CHECK(seen == std::vector<int>(seen.size(), 1));
      }
    }
  }
}

TEST_CASE("a thread that stays away holds nothing up: the others do its part") {
  ThreadPool pool(2);
  std::atomic<bool> release = false;
  std::atomic<int64_t> others = 0;
  pool.share(1000, 1, [&](int thread, Range) {
    if (thread == 0) {
      if (++others >= 999) release = true;
    } else if (others < 999) {
      while (!release) std::this_thread::yield();
    }
  });
  CHECK(others >= 999);
}

TEST_CASE("jobs end on one processor too") {
  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof(before), &before) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);  // threads made from here on inherit it
  {
    ThreadPool pool(4);
    share_items(pool, 2000);
    for (int i = 0; i < 200; ++i) run_on_all(pool, [](int) {});
  }
  sched_setaffinity(0, sizeof(before), &before);
}

TEST_CASE("an exception of any thread comes out, and the pool goes on") {
  ThreadPool pool(3);
  for (int thrower = 0; thrower < 3; ++thrower) {
    const Error error = error_of([&] {
      run_on_all(pool, [&](int thread) {
        if (thread == thrower) throw Error(ErrorCode::kInterrupted, "stopped");
      });
    });
    CHECK(error.code() == ErrorCode::kInterrupted);
    CHECK(error.message() == "stopped");
  }
  const auto all_throw = [](int) { throw std::runtime_error("all at once"); };
  CHECK_THROWS_AS(run_on_all(pool, all_throw), std::runtime_error);
  share_items(pool, 10);
}

TEST_CASE("after an exception no further pieces are taken") {
  for (const int threads : {1, 4}) {
    ThreadPool pool(threads);
    std::atomic<bool> thrown = false;
    std::atomic<int64_t> later = 0;
    CHECK_THROWS_AS(pool.share(int64_t{1} << 40, 1,
                               [&](int thread, Range) {
                                 if (thread == 0) {
                                   thrown = true;
                                   throw std::runtime_error("one");
                                 }
                                 later += thrown;
                               }),
                    std::runtime_error);
    // Of 2^40 pieces only those taken before the others see the failure.
    CHECK(later < 10'000'000);
    share_items(pool, 10);
  }
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
    share_items(second, 2000);
  });
  share_items(first, 2000);
  other.join();
}

TEST_CASE("workers leave Ctrl-C to the caller and keep the signals of their own faults") {
  ThreadPool pool(2);
  sigset_t caller, worker;
  run_on_all(pool, [&](int thread) {
    pthread_sigmask(SIG_BLOCK, nullptr, thread == 0 ? &caller : &worker);
  });
  CHECK(sigismember(&caller, SIGINT) == 0);
  CHECK(sigismember(&worker, SIGINT) == 1);
  CHECK(sigismember(&worker, SIGBUS) == 0);
  CHECK(sigismember(&worker, SIGSEGV) == 0);
}

TEST_CASE("a number of threads that makes no sense is refused") {
  for (const int threads : {0, -1, 1025}) CHECK_THROWS_AS(ThreadPool{threads}, Error);
}

#ifndef MICA_SANITIZED
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
