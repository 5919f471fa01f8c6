// How fast a placement will be: bytes over bandwidth in decode, operations over peak or bytes over
// the link in prefill. Rates are what steps reach, not what data sheets say; results are estimates.
#pragma once

#include "lib/backend/device_module.h"
#include "lib/runtime/placement.h"
#include "lib/runtime/plan_model.h"

namespace mica {

// A second, greater than 0.
struct PlanRates {
  double read = 0;    // bytes of its memory
  double int8 = 0;    // multiplications and additions of q4 and q8 weights
  double floats = 0;  // those of others
  double upload = 0;  // bytes from the host; of devices
};

// What steps reach of a device's facts; of those that are not known a slow device's.
PlanRates rates_of(const DeviceFacts& facts);
// Of a host that was not measured.
PlanRates default_host_rates(int threads);

// Those of the host, and one of each device.
struct PlaceRates {
  PlanRates host;
  std::vector<PlanRates> devices;
  const PlanRates& of(int device) const { return device == kHostDevice ? host : devices[device]; }
};

// Of one token with few before it.
double decode_seconds(const PlanModel& model, const Placement& placement, const PlaceRates& rates);
// Of a prompt of so many tokens.
double prefill_seconds(const PlanModel& model, const Placement& placement, const PlaceRates& rates,
                       int64_t tokens);

// Tokens of a step from which on it is faster to copy a layer of the host to the device and compute
// it there than to compute it on the host: copy = tokens x time a token on the host. INT64_MAX:
// never.
int64_t streaming_break_even(const PlanModel& model, const PlanRates& host,
                             const PlanRates& device);

}  // namespace mica
