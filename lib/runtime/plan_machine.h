// What a planner is told of this machine.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/plan.h"

namespace mica {

// Of a device's free memory: what a driver may come to take besides.
constexpr uint64_t kDeviceMarginBytes = uint64_t{128} << 20;

// The engine must outlive what it is asked about.
std::vector<PlanDevice> plan_devices(const Engine& engine);
// With the memory available now; `rates` as measured or by default.
PlanHost plan_host(const Engine& engine, const PlanRates& rates);

// Takes about 100 ms. Rates that this machine has no loop for are those of default_host_rates().
PlanRates measure_host_rates(const Engine& engine);

// Where a model goes on this engine's devices; nothing where it has none. Says in the log what was
// conceded. Throws Error(kDoesNotFit) with the deficit, Error(kUnsupported) for a request that
// needs a device where there is none. `name` begins the sentences.
std::optional<Placement> plan_placement(const Engine& engine, std::string_view name,
                                        const ModelConfig& config, const ModelWeights& weights,
                                        const PlanRequest& request);

// For plans without one: a small card's rates (plan_rates.h), and a workspace like that of the CUDA
// backend.
PlanDevice imaginary_device(uint64_t bytes);

}  // namespace mica
