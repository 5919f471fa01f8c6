// Finding modules of devices: the mock module's devices, and one sentence for all that is no
// module.
#include "lib/backend/module_loader.h"

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>

#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

namespace mica {
namespace {

using testing::TempFolder;

// A variable of the environment, as it was before at the end.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (before_.empty()) {
      unsetenv(name_);
    } else {
      setenv(name_, before_.c_str(), 1);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string before_;
};

// find_devices() where a folder holds one file as the module of that kind.
FoundDevices find_linked(const TempFolder& folder, const std::string& kind, const char* file) {
  std::filesystem::create_symlink(file, folder.file("mica-" + kind + ".so"));
  const Variable place("MICA_MODULE_DIR", folder.path());
  return find_devices(kind);
}

TEST_CASE("the mock module has the devices that its variable lists") {
  const TempFolder folder;
  const std::string report = folder.file("report");
  const Variable list("MICA_MOCK_DEVICES", "2G,512M:free=4G:report=" + report);
  const FoundDevices found = find_linked(folder, "mock", MOCK_MODULE);
  CHECK(found.why_none == "");
  REQUIRE(found.devices.size() == 2);
  const DeviceFacts first = found.devices[0].facts(), second = found.devices[1].facts();
  CHECK(std::string(first.name) == "Mock 0");
  CHECK(first.memory_bytes == uint64_t{2} << 30);
  CHECK(first.free_bytes == first.memory_bytes);
  CHECK(second.memory_bytes == uint64_t{512} << 20);
  CHECK(second.free_bytes == uint64_t{4} << 30);
  {
    const auto backend = found.devices[1].open({});
    CHECK(backend->name().starts_with("mock of cpu"));
    const auto buffer = backend->allocate(1000);
    CHECK(backend->free_bytes() == uint64_t{4} << 30);
    CHECK_THROWS_AS(backend->allocate(uint64_t{1} << 30), std::bad_alloc);
  }
  CHECK(folder.get("report") == "peak 1024 of 536870912 bytes, 0 operations\n");
}

TEST_CASE("a module without devices says why") {
  const TempFolder folder;
  const FoundDevices found = find_linked(folder, "mock", MOCK_MODULE);
  CHECK(found.devices.empty());
  CHECK(found.why_none == "no mock device: MICA_MOCK_DEVICES lists none");
  const Variable place("MICA_MODULE_DIR", folder.path());
  for (const std::string bad : {"fast", "2T", "2GB", "G", ""}) {
    const Variable list("MICA_MOCK_DEVICES", "1G,2G:delay=" + bad);
    CHECK(find_devices("mock").why_none.ends_with("found '" + bad + "'"));
  }
  const Variable list("MICA_MOCK_DEVICES", "2G:fast");
  CHECK(find_devices("mock").why_none.ends_with("found 'fast'"));
}

TEST_CASE("a device that is lost says so through the border") {
  const TempFolder folder;
  const Variable list("MICA_MOCK_DEVICES", "64M:delay=20:seed=2:unpinned:lost=0");
  const FoundDevices found = find_linked(folder, "mock", MOCK_MODULE);
  REQUIRE(found.devices.size() == 1);
  const auto backend = found.devices[0].open({});
  const Error error = testing::error_of([&] { backend->allocate(1); });
  CHECK(error.code() == ErrorCode::kRuntime);
  CHECK(error.message().starts_with("device lost: mock of cpu"));
}

TEST_CASE("a module that is not there is named with the places where it was looked for") {
  const Variable place("MICA_MODULE_DIR", "/nonexistent:/nowhere");
  const FoundDevices found = find_devices("cuda");
  CHECK(found.devices.empty());
  CHECK(found.why_none ==
        "cuda devices: expected the module mica-cuda.so, not found at /nonexistent/mica-cuda.so, "
        "/nowhere/mica-cuda.so");
}

TEST_CASE("a module of another version is refused") {
  const TempFolder folder;
  const FoundDevices found = find_linked(folder, "cuda", OTHER_ABI_MODULE);
  CHECK(found.devices.empty());
  CHECK(found.why_none == folder.file("mica-cuda.so") +
                              ": expected a module with 'mica_device_module' of ABI " +
                              std::to_string(kDeviceModuleAbi) + ", found another ABI");
}

TEST_CASE("a library that is no module of a device is refused") {
  const TempFolder folder;
  const FoundDevices found = find_linked(folder, "cuda", BLAS_MODULE);
  CHECK(found.devices.empty());
  CHECK(found.why_none.ends_with("found another file"));
}

TEST_CASE("a file that is no library is refused") {
  const TempFolder folder;
  const std::string path = folder.put("mica-cuda.so", "not a library");
  const Variable place("MICA_MODULE_DIR", folder.path());
  const FoundDevices found = find_devices("cuda");
  CHECK(found.devices.empty());
  CHECK(found.why_none.starts_with(
      path + ": expected a module of Mica, found what cannot be loaded: " + path));
}

TEST_CASE("kinds are cuda and those of the chosen folders") {
  const TempFolder folder;
  for (const char* name : {"mica-vulkan.so", "mica-blas.so", "mica-cuda.so", "mica-mock.so.old",
                           "libmica-x.so", "mica-abacus.so"}) {
    folder.put(name, "");
  }
  const Variable place("MICA_MODULE_DIR", "/nonexistent:" + folder.path());
  CHECK(device_kinds() == std::vector<std::string>{"cuda", "abacus", "vulkan"});
}

}  // namespace
}  // namespace mica
