// Work done in order on a thread of its own, each piece after a random delay: one of a mock
// device's streams. Streams share no lock, so that only fences order them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

namespace mica::testing {

// Happens once.
class MockEvent {
 public:
  void set();
  void wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_set_ = false;
};

struct MockDelays {
  unsigned seed = 0;
  int most_microseconds = 0;  // of one piece of work; half of them have none
};

class MockStream {
 public:
  explicit MockStream(const MockDelays& delays);
  ~MockStream();  // when all is done
  MockStream(const MockStream&) = delete;
  MockStream& operator=(const MockStream&) = delete;

  // What work throws is thrown by the next synchronize(); what comes after it is done all the same.
  void add(std::function<void()> work);
  // Set when all added so far is done.
  std::shared_ptr<MockEvent> record();
  // What is added from here on waits for the event.
  void wait_for(std::shared_ptr<MockEvent> event);
  // Returns when all added so far is done.
  void synchronize();

 private:
  void run();
  void delay();

  std::mt19937 random_;  // the thread's
  int most_microseconds_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::exception_ptr failure_;
  bool ending_ = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace mica::testing
