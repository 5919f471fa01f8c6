// Both sides of the border of modules, in one process: what a backend throws crosses as a status
// and is thrown again, and what was made is given back.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <functional>
#include <stdexcept>

#include "lib/backend/module_backend.h"
#include "lib/backend/module_export.h"
#include "lib/base/utf8.h"
#include "tests/support/error_of.h"

namespace mica {
namespace {

using testing::error_of;

// What each function of the devices below does; and what of theirs is alive.
std::function<void()> act;
int alive = 0;

class Counted {
 public:
  Counted() { ++alive; }
  ~Counted() { --alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

class StubBuffer final : public DeviceBuffer {
 public:
  explicit StubBuffer(uint64_t bytes) : memory_(bytes) {}
  std::byte* data() const override { return const_cast<std::byte*>(memory_.data()); }
  uint64_t bytes() const override { return memory_.size(); }

 private:
  Counted counted_;
  std::vector<std::byte> memory_;
};

class StubQueue final : public CopyQueue {
 public:
  void upload(std::span<const std::byte>, std::byte*) override { act(); }
  void download(const std::byte*, std::span<std::byte>) override { act(); }
  void wait_for_operations() override { act(); }
  void hold_operations() override { act(); }
  void synchronize() override { act(); }

 private:
  Counted counted_;
};

class StubBackend final : public Backend {
 public:
  std::string name() const override { return act(), "stub"; }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    return act(), std::make_unique<StubBuffer>(bytes);
  }
  std::unique_ptr<DeviceBuffer> allocate_host(uint64_t bytes) override {
    return act(), std::make_unique<StubBuffer>(bytes);
  }
  uint64_t reserve(const StepLimits& limits) override {
    return act(), static_cast<uint64_t>(limits.tokens);
  }
  uint64_t measure(const StepLimits& limits) const override {
    return act(), static_cast<uint64_t>(limits.context);
  }
  uint64_t free_bytes() const override { return act(), 42; }
  void require(const DType&) override { act(); }
  void upload(std::span<const std::byte>, std::byte*) override { act(); }
  void download(const std::byte*, std::span<std::byte>) override { act(); }
  std::unique_ptr<CopyQueue> make_copy_queue() override {
    return act(), std::make_unique<StubQueue>();
  }
  void embed(const EmbedArgs&) override { act(); }
  void norm_linear(const NormLinearArgs&) override { act(); }
  void gated_linear(const GatedLinearArgs&) override { act(); }
  void linear_add(const LinearAddArgs&) override { act(); }
  void norm_add(const NormAddArgs&) override { act(); }
  void rope_store_kv(const RopeStoreArgs&) override { act(); }
  void attention(const AttentionArgs&) override { act(); }
  void logits(const LogitsArgs&) override { act(); }

 private:
  Counted counted_;
};

struct StubDevices {
  static constexpr char kKind[] = "stub";
  static int32_t count() { return act(), 2; }
  static DeviceFacts describe(int32_t index) {
    act();
    DeviceFacts facts;
    facts.memory_bytes = static_cast<uint64_t>(index) + 10;
    return facts;
  }
  static std::unique_ptr<Backend> open(int32_t, const DeviceOptions&) {
    return act(), std::make_unique<StubBackend>();
  }
};

const DeviceModule& table() {
  return *export_devices<StubDevices>(kDeviceModuleAbi);
}

void do_nothing() {}

struct NamedCall {
  const char* name;
  std::function<void()> call;
};

// Every function that reaches a device.
std::vector<NamedCall> calls_of(Backend& backend, CopyQueue& queue) {
  static std::byte byte{};
  return {
      {"name", [&] { backend.name(); }},
      {"free_bytes", [&] { backend.free_bytes(); }},
      {"allocate", [&] { backend.allocate(1); }},
      {"allocate_host", [&] { backend.allocate_host(1); }},
      {"reserve", [&] { backend.reserve({}); }},
      {"measure", [&] { backend.measure({}); }},
      {"require", [&] { backend.require({}); }},
      {"upload",
       [&] {
         backend.upload({&byte, 1}, &byte);
       }},
      {"download",
       [&] {
         backend.download(&byte, {&byte, 1});
       }},
      {"make_copy_queue", [&] { backend.make_copy_queue(); }},
      {"embed", [&] { backend.embed({}); }},
      {"norm_linear", [&] { backend.norm_linear({}); }},
      {"gated_linear", [&] { backend.gated_linear({}); }},
      {"linear_add", [&] { backend.linear_add({}); }},
      {"norm_add", [&] { backend.norm_add({}); }},
      {"rope_store_kv", [&] { backend.rope_store_kv({}); }},
      {"attention", [&] { backend.attention({}); }},
      {"logits", [&] { backend.logits({}); }},
      {"queue upload",
       [&] {
         queue.upload({&byte, 1}, &byte);
       }},
      {"queue download",
       [&] {
         queue.download(&byte, {&byte, 1});
       }},
      {"wait_for_operations", [&] { queue.wait_for_operations(); }},
      {"hold_operations", [&] { queue.hold_operations(); }},
      {"synchronize", [&] { queue.synchronize(); }},
  };
}

TEST_CASE("a table is for its own ABI alone") {
  CHECK(export_devices<StubDevices>(kDeviceModuleAbi + 1) == nullptr);
  CHECK(table().abi == kDeviceModuleAbi);
  CHECK(std::string(table().kind) == "stub");
}

TEST_CASE("facts and numbers cross the border") {
  act = do_nothing;
  const auto devices = devices_of(table());
  REQUIRE(devices.size() == 2);
  CHECK(devices[1].index() == 1);
  CHECK(devices[1].facts().memory_bytes == 11);
  const auto backend = devices[1].open({});
  CHECK(backend->name() == "stub");
  CHECK_FALSE(backend->is_host());
  CHECK(backend->free_bytes() == 42);
  CHECK(backend->reserve({.tokens = 7}) == 7);
  CHECK(backend->measure({.context = 9}) == 9);
}

TEST_CASE("every function throws what the module's function threw, and works again afterwards") {
  act = do_nothing;
  const auto backend = devices_of(table())[0].open({});
  const auto queue = backend->make_copy_queue();
  for (const NamedCall& of : calls_of(*backend, *queue)) {
    INFO(of.name);
    for (const ErrorCode code : {ErrorCode::kRuntime, ErrorCode::kUsage, ErrorCode::kDoesNotFit,
                                 ErrorCode::kUnsupported, ErrorCode::kInterrupted}) {
      act = [code] { throw Error(code, "found é"); };
      const Error error = error_of(of.call);
      CHECK(error.code() == code);
      CHECK(error.message() == "found é");
    }
    act = [] { throw std::bad_alloc(); };
    CHECK_THROWS_AS(of.call(), std::bad_alloc);
    act = [] { throw std::logic_error("an address"); };
    CHECK(error_of(of.call).message() == "an address");
    act = [] { throw 5; };
    CHECK(error_of(of.call).code() == ErrorCode::kRuntime);
    act = do_nothing;
    CHECK_NOTHROW(of.call());
  }
}

TEST_CASE("devices that cannot be counted, described or opened are errors") {
  act = [] { throw Error(ErrorCode::kUnsupported, "no NVIDIA driver"); };
  CHECK(error_of([] { devices_of(table()); }).message() == "no NVIDIA driver");
  const ModuleDevice device(table(), 0);
  CHECK(error_of([&] { device.facts(); }).message() == "no NVIDIA driver");
  CHECK(error_of([&] { device.open({}); }).code() == ErrorCode::kUnsupported);
  CHECK(alive == 0);

  // A module that says why without a code, and one that says nothing.
  static DeviceModule none = table();
  none.count = [](ModuleStatus* status) {
    copy_text("no device of compute capability 7.5", status->text);
    return 0;
  };
  CHECK(error_of([] { devices_of(none); }).message() == "no device of compute capability 7.5");
  none.count = [](ModuleStatus*) { return 0; };
  CHECK(error_of([] { devices_of(none); }).message() == "no stub device");
}

TEST_CASE("long sentences are cut behind a whole character") {
  act = do_nothing;
  const auto backend = devices_of(table())[0].open({});
  for (const std::string character : {"a", "é", "€", "😀"}) {
    for (int shift = 0; shift < 4; ++shift) {
      std::string text(static_cast<size_t>(shift), '.');
      while (text.size() < 2000) text += character;
      act = [&] { throw Error(ErrorCode::kRuntime, text); };
      const std::string cut = error_of([&] { backend->embed({}); }).message();
      CHECK(find_invalid_utf8(cut) == kValid);
      CHECK(text.starts_with(cut));
      CHECK(cut.size() > 1019 - character.size());
    }
  }
}

TEST_CASE("buffers, queues and devices are given back") {
  act = do_nothing;
  {
    const auto backend = devices_of(table())[0].open({});
    CHECK(alive == 1);
    const auto empty = backend->allocate(0), other = backend->allocate(0);
    CHECK(empty->data() != other->data());
    CHECK(empty->bytes() == 0);
    {
      const auto host = backend->allocate_host(5);
      const auto queue = backend->make_copy_queue();
      CHECK(alive == 5);
      host->data()[4] = std::byte{1};
    }
    CHECK(alive == 3);
  }
  CHECK(alive == 0);
}

}  // namespace
}  // namespace mica
