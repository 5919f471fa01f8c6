#include "tests/support/mock_stream.h"

#include <chrono>
#include <utility>

namespace mica::testing {

void MockEvent::set() {
  const std::lock_guard lock(mutex_);
  is_set_ = true;
  changed_.notify_all();
}

void MockEvent::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return is_set_; });
}

MockStream::MockStream(const MockDelays& delays)
    : random_(delays.seed),
      most_microseconds_(delays.most_microseconds),
      thread_([this] { run(); }) {}

MockStream::~MockStream() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void MockStream::add(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  changed_.notify_all();
}

std::shared_ptr<MockEvent> MockStream::record() {
  auto event = std::make_shared<MockEvent>();
  add([event] { event->set(); });
  return event;
}

void MockStream::wait_for(std::shared_ptr<MockEvent> event) {
  add([event = std::move(event)] { event->wait(); });
}

void MockStream::synchronize() {
  record()->wait();
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void MockStream::delay() {
  if (most_microseconds_ == 0 || random_() % 2 == 0) return;
  const auto microseconds = random_() % static_cast<unsigned>(most_microseconds_);
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
}

void MockStream::run() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ending_ || !work_.empty(); });
      if (work_.empty()) return;
      work = std::move(work_.front());
      work_.pop_front();
    }
    delay();
    try {
      work();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }
}

}  // namespace mica::testing
