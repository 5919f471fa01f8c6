// mica-mock.so: mock devices as a module, for tests of the program. MICA_MOCK_DEVICES lists them by
// their memory, each with what else it shall be:
//
//   MICA_MOCK_DEVICES=2G,512M:delay=50:seed=3:lost=100:free=4G:unpinned:report=FILE
//
//   delay     of operations and copies, at most, in microseconds
//   seed      of the delays
//   lost      after so many operations
//   free      free memory that it claims to have
//   unpinned  pinned memory is refused
//   report    a file to which its peak is appended when it is closed
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "lib/backend/module_export.h"
#include "lib/base/error.h"
#include "tests/support/mock_device.h"

namespace mica::testing {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw Error(ErrorCode::kUsage,
              "MICA_MOCK_DEVICES: expected a size and options of "
              "tests/support/mock_module.cpp, found '" +
                  text + "'");
}

// "512M": a number, with K, M or G for powers of 1024.
uint64_t parse_number(const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const size_t power = std::string(" KMG").find(unit.empty() ? " " : unit);
  if (error != std::errc() || unit.size() > 1 || power > 3) refuse(text);
  return number << (10 * power);
}

void set_option(MockOptions& options, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (name == "delay") {
    options.delays.most_microseconds = static_cast<int>(parse_number(value));
  } else if (name == "seed") {
    options.delays.seed = static_cast<unsigned>(parse_number(value));
  } else if (name == "lost") {
    options.lost_after = static_cast<int64_t>(parse_number(value));
  } else if (name == "free") {
    options.claimed_free_bytes = parse_number(value);
  } else if (name == "unpinned") {
    options.refuses_pinning = true;
  } else if (name == "report") {
    options.report_file = value;
  } else {
    refuse(text);
  }
}

std::vector<MockOptions> listed_devices() {
  const char* variable = std::getenv("MICA_MOCK_DEVICES");
  std::istringstream list(variable ? variable : "");
  std::vector<MockOptions> devices;
  for (std::string device; std::getline(list, device, ',');) {
    std::istringstream parts(device);
    std::string part;
    std::getline(parts, part, ':');
    MockOptions options{.memory_bytes = parse_number(part)};
    while (std::getline(parts, part, ':')) set_option(options, part);
    devices.push_back(options);
  }
  return devices;
}

struct MockDevices {
  static constexpr char kKind[] = "mock";

  static int32_t count() {
    const auto count = static_cast<int32_t>(listed_devices().size());
    if (count == 0) {
      throw Error(ErrorCode::kUnsupported, "no mock device: MICA_MOCK_DEVICES lists none");
    }
    return count;
  }

  // Rates of a small GPU.
  static DeviceFacts describe(int32_t index) {
    const MockOptions options = listed_devices().at(static_cast<size_t>(index));
    DeviceFacts facts;
    copy_text("Mock " + std::to_string(index), facts.name);
    facts.memory_bytes = options.memory_bytes;
    facts.free_bytes =
        options.claimed_free_bytes ? options.claimed_free_bytes : options.memory_bytes;
    facts.read_bytes_per_second = 300e9;
    facts.int8_operations = 100e12;
    facts.float_operations = 50e12;
    facts.upload_bytes_per_second = 12e9;
    return facts;
  }

  static std::unique_ptr<Backend> open(int32_t index, const DeviceOptions& asked) {
    MockOptions options = listed_devices().at(static_cast<size_t>(index));
    options.activations = asked.activations;
    return std::make_unique<MockBackend>(options);
  }
};

}  // namespace
}  // namespace mica::testing

extern "C" __attribute__((visibility("default"))) const mica::DeviceModule* mica_device_module(
    uint32_t abi) {
  return mica::export_devices<mica::testing::MockDevices>(abi);
}
