// Cases of memory and of copies: allocate, reserve, measure, upload, download, CopyQueue.
#include <algorithm>
#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "tests/lib/backend/conformance_data.h"

namespace mica::conformance {
namespace {

std::vector<std::byte> random_bytes(Random& random, uint64_t count) {
  std::vector<std::byte> bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  return bytes;
}

std::vector<std::byte> read(Backend& backend, const std::byte* data, uint64_t count) {
  std::vector<std::byte> bytes(count);
  backend.download(data, bytes);
  return bytes;
}

void check_allocate(Backend& backend) {
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{255}, uint64_t{1} << 20}) {
    const auto buffer = backend.allocate(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % 256 == 0);
    CHECK(buffer->bytes() >= bytes);
    const auto content = read(backend, buffer->data(), bytes);
    CHECK(
        std::all_of(content.begin(), content.end(), [](std::byte b) { return b == std::byte{}; }));
  }
}

// What a new backend holds is what any backend said it would.
void check_measure(const BackendFactory& make) {
  const StepLimits cases[] = {
      {},
      {.tokens = 1, .logit_rows = 1, .input_cols = 64, .output_rows = 64},
      {.tokens = 7, .heads = 9, .head_size = 64, .context = 1000},
      {.tokens = 512,
       .logit_rows = 3,
       .input_cols = 1536,
       .output_rows = 4096,
       .heads = 14,
       .head_size = 128,
       .context = 2048,
       .float_weights = true},
      {.tokens = 33,
       .logit_rows = 33,
       .input_cols = 100,
       .output_rows = 75,
       .heads = 3,
       .head_size = 10,
       .context = 17},
  };
  for (const Activations activations : {Activations::kInt8, Activations::kF32}) {
    const TestedBackend used = make(2, activations);
    for (const StepLimits& limits : cases) {
      CAPTURE(limits.tokens);
      const TestedBackend fresh = make(2, activations);
      const uint64_t measured = fresh.backend->measure(limits);
      CHECK(used.backend->measure(limits) == measured);
      CHECK(fresh.backend->reserve(limits) == measured);
      CHECK(fresh.backend->reserve(limits) == measured);  // again: nothing more
      CHECK(fresh.backend->measure(limits) == measured);
      CHECK(used.backend->reserve(limits) >= measured);
    }
  }
}

// Pieces of odd sizes at odd offsets; what lies beside them stays as it is.
void check_round_trips(Backend& backend) {
  Random random(1);
  constexpr uint64_t kBytes = 70'001;
  const auto buffer = backend.allocate(kBytes);
  std::vector<std::byte> expected = random_bytes(random, kBytes);
  backend.upload(expected, buffer->data());
  CHECK(read(backend, buffer->data(), kBytes) == expected);
  for (const uint64_t bytes : {0, 1, 3, 17, 255, 4097, 65'537}) {
    for (const uint64_t offset : {0, 1, 7, 64, 4095}) {
      CAPTURE(bytes);
      CAPTURE(offset);
      // Of the host's memory at an odd address, and used again at once.
      std::vector<std::byte> source = random_bytes(random, bytes + 1);
      std::copy(source.begin() + 1, source.end(), expected.begin() + static_cast<int64_t>(offset));
      backend.upload(std::span(source).subspan(1), buffer->data() + offset);
      std::fill(source.begin(), source.end(), std::byte{0x55});
      CHECK(read(backend, buffer->data() + offset, bytes) ==
            std::vector(expected.begin() + static_cast<int64_t>(offset),
                        expected.begin() + static_cast<int64_t>(offset + bytes)));
    }
  }
  CHECK(read(backend, buffer->data(), kBytes) == expected);
}

// Rows of a float table, which embed() moves within the device: an operation that copies.
struct Mover {
  static constexpr int64_t kRows = 3, kCols = 160;
  static constexpr uint64_t kBytes = kRows * kCols * sizeof(float);

  explicit Mover(Backend& of) : backend(of) {
    backend.reserve({.tokens = kRows, .input_cols = kCols});
  }
  void move(const std::byte* from, std::byte* to) {
    const Weight table{kF32, kRows, kCols, from, kCols * sizeof(float)};
    const std::vector<int32_t> ids = {0, 1, 2};
    backend.embed(
        {.ids = ids, .table = &table, .out = {reinterpret_cast<float*>(to), kRows, kCols}});
  }
  Backend& backend;
};

std::vector<std::byte> random_table(Random& random) {
  const std::vector<float> values = random.normals(Mover::kRows * Mover::kCols);
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// Without a fence anywhere: copies on the backend are in the order of its operations.
void check_plain_order(Backend& backend) {
  Random random(2);
  Mover mover(backend);
  const auto from = backend.allocate(Mover::kBytes), to = backend.allocate(Mover::kBytes);
  for (int i = 0; i < 20; ++i) {
    const auto first = random_table(random), second = random_table(random);
    backend.upload(first, from->data());
    mover.move(from->data(), to->data());
    backend.upload(second, from->data());
    CHECK(read(backend, to->data(), Mover::kBytes) == first);
    CHECK(read(backend, from->data(), Mover::kBytes) == second);
  }
}

// Two slots that are filled in turn while operations read them, and results that are fetched
// meanwhile: each step depends on a fence in each direction.
void check_queue_order(Backend& backend) {
  Random random(3);
  Mover mover(backend);
  constexpr int kSteps = 100;
  std::unique_ptr<DeviceBuffer> slots[2], outs[2];
  for (auto& slot : slots) slot = backend.allocate(Mover::kBytes);
  for (auto& out : outs) out = backend.allocate(Mover::kBytes);
  const auto queue = backend.make_copy_queue();
  std::vector<std::vector<std::byte>> sources, results;
  for (int i = 0; i < kSteps; ++i) {
    sources.push_back(random_table(random));
    results.emplace_back(Mover::kBytes);
  }
  queue->upload(sources[0], slots[0]->data());
  for (int i = 0; i < kSteps; ++i) {
    std::byte* out = outs[i % 2]->data();
    queue->hold_operations();      // for slot i, and for `out` to have been fetched
    queue->wait_for_operations();  // those of step i - 1, which read the other slot
    if (i + 1 < kSteps) queue->upload(sources[i + 1], slots[(i + 1) % 2]->data());
    if (i > 0) queue->download(outs[(i - 1) % 2]->data(), results[i - 1]);
    mover.move(slots[i % 2]->data(), out);
  }
  queue->wait_for_operations();
  queue->download(outs[(kSteps - 1) % 2]->data(), results[kSteps - 1]);
  queue->synchronize();
  CHECK(results == sources);
}

// Many small copies in one order, among them some that overwrite others.
void check_small_copies(Backend& backend) {
  Random random(4);
  constexpr int kBytes = 5000;
  const auto buffer = backend.allocate(kBytes);
  const auto queue = backend.make_copy_queue();
  std::vector<std::byte> expected(kBytes);
  std::vector<std::vector<std::byte>> sources, found, wanted;
  for (int i = 0; i < 500; ++i) {
    const int offset = random.below(kBytes), bytes = random.below(std::min(kBytes - offset, 300));
    sources.push_back(random_bytes(random, bytes));
    std::copy(sources.back().begin(), sources.back().end(), expected.begin() + offset);
    queue->upload(sources.back(), buffer->data() + offset);
    wanted.emplace_back(expected.begin() + offset, expected.begin() + offset + bytes);
    found.emplace_back(bytes);
    queue->download(buffer->data() + offset, found.back());
  }
  queue->hold_operations();
  CHECK(read(backend, buffer->data(), kBytes) == expected);
  queue->synchronize();
  CHECK(found == wanted);
}

void check_host_memory(Backend& backend) {
  Random random(5);
  const auto device = backend.allocate(100'000);
  const auto queue = backend.make_copy_queue();
  for (const uint64_t bytes : {1, 4096, 99'999}) {
    CAPTURE(bytes);
    const auto from = backend.allocate_host(bytes), to = backend.allocate_host(bytes);
    CHECK(reinterpret_cast<uintptr_t>(from->data()) % 4096 == 0);
    CHECK(from->bytes() >= bytes);
    const auto content = random_bytes(random, bytes);
    std::copy(content.begin(), content.end(), from->data());
    queue->upload({from->data(), bytes}, device->data());
    queue->download(device->data(), {to->data(), bytes});
    queue->synchronize();
    CHECK(std::equal(content.begin(), content.end(), to->data()));
  }
}

}  // namespace

void check_memory(const BackendFactory& make) {
  const TestedBackend tested = make(2, Activations::kInt8);
  CHECK_FALSE(tested.backend->name().empty());
  check_allocate(*tested.backend);
  check_measure(make);
  for (const DType& dtype : all_dtypes(128)) CHECK_NOTHROW(tested.backend->require(dtype));
  DType unknown = parse_dtype("q4g32");
  unknown.type = 77;
  CHECK_THROWS_AS(tested.backend->require(unknown), Error);
}

void check_copies(const BackendFactory& make) {
  const TestedBackend tested = make(2, Activations::kInt8);
  check_round_trips(*tested.backend);
  check_plain_order(*tested.backend);
  check_queue_order(*tested.backend);
  check_small_copies(*tested.backend);
  check_host_memory(*tested.backend);
}

}  // namespace mica::conformance
