// What a mock device catches, and what can be made to happen to it.
#include "tests/support/mock_device.h"

#include <csignal>
#include <doctest/doctest.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/support/error_of.h"

namespace mica {
namespace {

using testing::MockBackend;
using testing::MockOptions;

// Buffers of one row each, and a table of one row that embed() copies to another.
struct Rows {
  explicit Rows(Backend& of) : backend(of) {
    backend.reserve({.tokens = 1, .input_cols = 32, .output_rows = 32, .float_weights = true});
    for (auto& row : rows) row = backend.allocate(32 * sizeof(float));
  }
  void move(int from, int to) {
    const Weight table{kF32, 1, 32, rows[from]->data(), 32 * sizeof(float)};
    const int32_t id = 0;
    backend.embed({.ids = {&id, 1}, .table = &table, .out = view(to)});
  }
  View<float> view(int row) { return {reinterpret_cast<float*>(rows[row]->data()), 1, 32}; }
  std::vector<float> get(int row) {
    std::vector<float> values(32);
    backend.download(rows[row]->data(), std::as_writable_bytes(std::span(values)));
    return values;
  }
  Backend& backend;
  std::unique_ptr<DeviceBuffer> rows[3];
};

TEST_CASE("the host that reads a device's memory faults") {
  MockBackend device(MockOptions{});
  const auto buffer = device.allocate(100);
  const auto* number = reinterpret_cast<volatile int*>(buffer->data());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);  // no report of the test's or of a sanitizer
    _exit(*number & 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

TEST_CASE("an address that is not of one live buffer is refused") {
  MockBackend device(MockOptions{});
  Rows rows(device);
  std::vector<float> host(32);
  const auto refused = [&](View<float> out) {
    const Weight table{kF32, 1, 32, rows.rows[0]->data(), 32 * sizeof(float)};
    const int32_t id = 0;
    CHECK_THROWS_AS(device.embed({.ids = {&id, 1}, .table = &table, .out = out}), std::logic_error);
  };
  refused({host.data(), 1, 32});
  const View<float> last = rows.view(2);
  refused({last.data() + 1, 1, 32});     // one past the end
  refused({last.data() + 1000, 1, 32});  // no buffer's
  refused({last.data() - 64, 1, 48});    // two buffers'
  rows.rows[2].reset();
  refused(last);
  std::byte byte{};
  CHECK_THROWS_AS(device.upload({&byte, 1}, &byte), std::logic_error);
  CHECK_THROWS_AS(device.download(&byte, {&byte, 1}), std::logic_error);
  CHECK_THROWS_AS(device.make_copy_queue()->upload({&byte, 1}, &byte), std::logic_error);
}

TEST_CASE("freed memory is zero again when it is allocated") {
  MockBackend device({.memory_bytes = 1 << 20});
  for (int i = 0; i < 3; ++i) {
    const auto buffer = device.allocate(1000);
    std::vector<std::byte> bytes(1000, std::byte{1});
    device.download(buffer->data(), bytes);
    CHECK(bytes == std::vector<std::byte>(1000));
    bytes.assign(1000, std::byte{7});
    device.upload(bytes, buffer->data());
  }
}

TEST_CASE("memory ends at the limit, scratch included, and the peak is kept") {
  MockBackend device({.memory_bytes = 64 << 20});
  const uint64_t scratch = device.reserve({.tokens = 64, .input_cols = 512, .output_rows = 512});
  CHECK(device.used_bytes() == scratch);
  {
    const auto rest = device.allocate(((64 << 20) - scratch) / 256 * 256 - 512);
    CHECK_THROWS_AS(device.allocate(513), std::bad_alloc);
    CHECK_THROWS_AS(device.reserve({.tokens = 640, .input_cols = 5120}), std::bad_alloc);
    const auto last = device.allocate(257);
    CHECK(device.free_bytes() == (64 << 20) - device.used_bytes());
  }
  CHECK(device.used_bytes() == scratch);
  CHECK(device.peak_bytes() > (63 << 20));
  CHECK(device.peak_bytes() <= (64 << 20));
  CHECK_THROWS_AS(device.allocate(UINT64_MAX), std::bad_alloc);
}

TEST_CASE("a lost device says so in every call, and its memory can still be given back") {
  MockBackend device({.lost_after = 2});
  Rows rows(device);
  const auto queue = device.make_copy_queue();
  rows.move(0, 1);
  rows.move(1, 2);
  std::byte byte{};
  const std::function<void()> calls[] = {
      [&] { rows.move(0, 1); },
      [&] { rows.get(0); },
      [&] {
        device.upload({&byte, 1}, rows.rows[0]->data());
      },
      [&] { device.allocate(1); },
      [&] { device.allocate_host(1); },
      [&] { device.reserve({}); },
      [&] { device.make_copy_queue(); },
      [&] {
        queue->upload({&byte, 1}, rows.rows[0]->data());
      },
      [&] {
        queue->download(rows.rows[0]->data(), {&byte, 1});
      },
      [&] { queue->wait_for_operations(); },
      [&] { queue->hold_operations(); },
      [&] { queue->synchronize(); },
  };
  for (const auto& call : calls) {
    const Error error = testing::error_of(call);
    CHECK(error.code() == ErrorCode::kRuntime);
    CHECK(error.message() == "device lost: " + device.name() + " stopped after 2 operations");
  }
}

TEST_CASE("pinning may be refused, and free memory be a lie") {
  MockBackend honest(MockOptions{});
  const auto pinned = honest.allocate_host(100);
  CHECK(honest.pinned_bytes() == 100);
  MockBackend device({.refuses_pinning = true, .claimed_free_bytes = uint64_t{9} << 30});
  const auto plain = device.allocate_host(100);
  CHECK(reinterpret_cast<uintptr_t>(plain->data()) % 4096 == 0);
  CHECK(device.pinned_bytes() == 0);
  CHECK(device.free_bytes() == uint64_t{9} << 30);
}

TEST_CASE("what a stream's work throws is thrown when it is waited for, and the rest is done") {
  testing::MockStream stream({});
  bool done = false;
  stream.add([] { throw Error(ErrorCode::kRuntime, "too hot"); });
  stream.add([&] { done = true; });
  CHECK(testing::error_of([&] { stream.synchronize(); }).message() == "too hot");
  CHECK(done);
  CHECK_NOTHROW(stream.synchronize());
}

#if !defined(__SANITIZE_THREAD__)  // which would report just what is done here
// With a fence, or without: the upload is late for the operation nearly always.
int count_wrong(bool fenced) {
  MockBackend device({.delays = {.seed = 1, .most_microseconds = 300}});
  Rows rows(device);
  const auto queue = device.make_copy_queue();
  int wrong = 0;
  for (int i = 1; i <= 50; ++i) {
    const std::vector<float> source(32, static_cast<float>(i));
    queue->upload(std::as_bytes(std::span(source)), rows.rows[0]->data());
    if (fenced) queue->hold_operations();
    rows.move(0, 1);
    wrong += rows.get(1) != source;
    queue->synchronize();
  }
  return wrong;
}

TEST_CASE("a fence left out shows as a wrong result") {
  CHECK(count_wrong(true) == 0);
  CHECK(count_wrong(false) > 5);
}
#endif

}  // namespace
}  // namespace mica
