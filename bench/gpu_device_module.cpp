#include "bench/gpu_device.h"
#include "lib/backend/module_loader.h"
#include "lib/base/error.h"

namespace mica::bench {

std::unique_ptr<Backend> open_device(Activations activations) {
  const FoundDevices found = find_devices("cuda");
  if (found.devices.empty()) throw Error(ErrorCode::kUnsupported, found.why_none);
  return found.devices[0].open({.activations = activations});
}

}  // namespace mica::bench
