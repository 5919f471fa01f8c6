#include "lib/runtime/engine.h"

#include "lib/backend/module_loader.h"
#include "lib/backend/reference_backend.h"
#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {
namespace {

constexpr const char* kReference = "reference";
constexpr std::string_view kAuto = "auto", kCpu = "cpu";

}  // namespace

std::vector<IsaInfo> engine_isas() {
  std::vector<IsaInfo> isas = cpu_isas();
  isas.insert(isas.begin(), {.name = kReference, .available = true, .missing = {}});
  return isas;
}

std::string choose_engine_isa(std::string_view requested) {
  return requested == kReference ? kReference : choose_isa(requested);
}

std::vector<DeviceKind> examine_devices() {
  std::vector<DeviceKind> kinds;
  for (const std::string& kind : device_kinds()) {
    FoundDevices found = find_devices(kind);
    kinds.push_back({.kind = kind, .devices = {}, .why_none = std::move(found.why_none)});
    for (const ModuleDevice& device : found.devices) kinds.back().devices.push_back(device.facts());
  }
  return kinds;
}

Engine::Engine(const EngineOptions& options)
    : log_(options.log),
      pool_(
          std::make_unique<ThreadPool>(choose_threads(read_host_facts(), options.threads).threads)),
      isa_(choose_engine_isa(options.isa)),
      device_(options.device),
      activations_(options.activations) {
  if (isa_ == kReference) {
    backend_ = make_reference_backend(options.activations);
  } else {
    backend_ = make_cpu_backend(*pool_, {.isa = isa_, .activations = options.activations});
  }
}

Engine::Engine(const EngineOptions& options, std::vector<EngineDevice> devices) : Engine(options) {
  std::call_once(devices_opened_, [&] { devices_ = std::move(devices); });
}

std::span<const EngineDevice> Engine::devices() const {
  std::call_once(devices_opened_, [&] { open_devices(); });
  return devices_;
}

void Engine::open_devices() const {
  if (device_ == kCpu) return;
  const bool any = device_ == kAuto;
  for (const std::string& kind : any ? device_kinds() : std::vector<std::string>{device_}) {
    const FoundDevices found = find_devices(kind);
    if (found.devices.empty() && !any) throw Error(ErrorCode::kUnsupported, found.why_none);
    for (const ModuleDevice& device : found.devices) {
      devices_.push_back({.name = kind + ":" + std::to_string(device.index()),
                          .facts = device.facts(),
                          .backend = device.open({.activations = activations_})});
    }
  }
}

}  // namespace mica
