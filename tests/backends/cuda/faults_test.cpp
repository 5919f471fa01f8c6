// What a device may refuse, and one that is lost in mid-run: errors, never an end of the program.
#include <doctest/doctest.h>
#include <new>

#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/host_faults.h"
#include "lib/base/error.h"
#include "tests/lib/backend/conformance_products.h"

namespace mica {
namespace {

struct Faults {
  explicit Faults(const cuda::HostFaults& faults) { cuda::host_faults() = faults; }
  ~Faults() { cuda::host_faults() = {}; }
};

TEST_CASE("memory that there is not is bad_alloc, and the backend goes on") {
  const auto backend = cuda::make_cuda_backend({});
  const uint64_t held = backend->reserve({.tokens = 2, .input_cols = 64});
  CHECK(held < 100'000);
  {
    const Faults faults({.most_bytes = 100'000});
    CHECK_THROWS_AS(backend->allocate(100'001), std::bad_alloc);
    CHECK_THROWS_AS(backend->reserve({.tokens = 512, .input_cols = 4096}), std::bad_alloc);
    CHECK(backend->reserve({}) == held);  // what was promised before
  }
  CHECK(backend->allocate(100'001)->bytes() == 100'001);
  const StepLimits limits{.tokens = 512, .input_cols = 4096};
  CHECK(backend->reserve(limits) == backend->measure(limits));
}

TEST_CASE("where pinning is refused, plain memory serves") {
  const Faults faults({.refuses_pinning = true});
  const auto backend = cuda::make_cuda_backend({});
  const auto host = backend->allocate_host(5000), device = backend->allocate(5000);
  host->data()[4999] = std::byte{7};
  backend->upload({host->data(), 5000}, device->data());
  std::byte last{};
  backend->download(device->data() + 4999, {&last, 1});
  CHECK(last == std::byte{7});
}

TEST_CASE("a lost device fails every call with its sentence, and can be closed") {
  const auto backend = cuda::make_cuda_backend({});
  const auto buffer = backend->allocate(1024);
  const auto queue = backend->make_copy_queue();
  backend->reserve({.tokens = 4, .input_cols = 32});
  const Faults faults({.is_lost = true});
  std::byte bytes[16] = {};
  const Weight table{kF32, 1, 32, buffer->data(), 128};
  const std::vector<int32_t> ids = {0};
  auto* floats = reinterpret_cast<float*>(buffer->data());
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_AS(backend->upload(bytes, buffer->data()), Error);
    CHECK_THROWS_AS(backend->download(buffer->data(), bytes), Error);
    CHECK_THROWS_AS(backend->embed({.ids = ids, .table = &table, .out = {floats, 1, 32}}), Error);
    CHECK_THROWS_AS(backend->norm_add({.x = {floats, 1, 32}, .residual = {floats, 1, 32}}), Error);
    CHECK_THROWS_AS(queue->synchronize(), Error);
    CHECK_THROWS_AS(backend->allocate(16), Error);
  }
}

}  // namespace
}  // namespace mica
