#include "lib/runtime/plan_machine.h"

#include <algorithm>
#include <fmt/format.h>

#include "backends/cpu/machine_limits.h"
#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {
namespace {

constexpr uint64_t kReadBytes = uint64_t{128} << 20;
// Shares of the limits that steps reach (bench/README.md).
constexpr double kReadShare = 0.8, kOperationShare = 0.6;

double peak_of(const Engine& engine, const cpu::PeakLoop* loop, double otherwise) {
  return loop == nullptr ? otherwise : kOperationShare * cpu::measure_peak(engine.pool(), *loop);
}

}  // namespace

std::vector<PlanDevice> plan_devices(const Engine& engine) {
  std::vector<PlanDevice> devices;
  for (const EngineDevice& device : engine.devices()) {
    Backend& backend = *device.backend;
    const uint64_t free = std::max(backend.free_bytes(), kDeviceMarginBytes);
    devices.push_back(
        {.name = device.name,
         .budget_bytes = free - kDeviceMarginBytes,
         .rates = rates_of(device.facts),
         .workspace = [&backend](const StepLimits& limits) { return backend.measure(limits); }});
  }
  return devices;
}

PlanHost plan_host(const Engine& engine, const PlanRates& rates) {
  const uint64_t available = read_host_facts().memory_available_bytes;
  Backend& backend = engine.backend();
  return {.budget_bytes = available > 0 ? available : UINT64_MAX,
          .rates = rates,
          .workspace = [&backend](const StepLimits& limits) { return backend.measure(limits); }};
}

PlanRates measure_host_rates(const Engine& engine) {
  const auto lock = engine.lock();
  const PlanRates fallback = default_host_rates(engine.pool().size());
  const AlignedBuffer buffer = cpu::make_read_buffer(kReadBytes);
  PlanRates rates{.int8 = peak_of(engine, cpu::int8_peak(engine.isa()), fallback.int8),
                  .floats = peak_of(engine, cpu::float_peak(engine.isa()), fallback.floats)};
  for (const cpu::ReadLoop& loop : cpu::read_loops()) {
    const double rate = cpu::measure_read(engine.pool(), loop, buffer.data(), kReadBytes);
    rates.read = std::max(rates.read, kReadShare * rate);
  }
  if (rates.read <= 0) rates.read = fallback.read;
  return rates;
}

std::optional<Placement> plan_placement(const Engine& engine, std::string_view name,
                                        const ModelConfig& config, const ModelWeights& weights,
                                        const PlanRequest& request) {
  if (engine.devices().empty()) {
    if (request.gpu_layers <= 0 && request.gpu_memory == 0) return std::nullopt;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: gpu memory and layers: expected a device on this machine, found "
                            "none",
                            name));
  }
  const PlanHost host = plan_host(engine, measure_host_rates(engine));
  const Plan plan = make_plan(plan_model_of(config, weights), plan_devices(engine), host, request);
  if (!plan.fits) {
    throw Error(ErrorCode::kDoesNotFit, fmt::format("{}: {}", name, deficit_sentence(plan)));
  }
  for (const std::string& conceded : plan.concessions) engine.log(LogLevel::kInfo, conceded);
  return plan.placement;
}

// A bf16 copy of the largest matrix and of what goes in and out, and the libraries' own.
PlanDevice imaginary_device(uint64_t bytes) {
  const auto workspace = [](const StepLimits& limits) {
    constexpr uint64_t kLibraryBytes = uint64_t{32} << 20;
    const int64_t widest = std::max(limits.input_cols, limits.output_rows);
    return kLibraryBytes + 2 * static_cast<uint64_t>(limits.input_cols * limits.output_rows +
                                                     2 * limits.tokens * widest);
  };
  return {.name = "gpu:imaginary",
          .budget_bytes = bytes,
          .rates = rates_of(DeviceFacts{}),
          .workspace = workspace};
}

}  // namespace mica
