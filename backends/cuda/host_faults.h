// What tests make go wrong with the host build's device.
#pragma once

#include <cstdint>

namespace mica::cuda {

struct HostFaults {
  uint64_t most_bytes = UINT64_MAX;  // of one allocation
  bool refuses_pinning = false;
  bool is_lost = false;  // every call fails from now on
};
HostFaults& host_faults();

}  // namespace mica::cuda
