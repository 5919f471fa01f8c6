// mica-cuda.so: the one C entry of the module (lib/backend/device_module.h).
#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/driver.h"
#include "lib/backend/module_export.h"
#include "lib/base/error.h"

namespace mica::cuda {
namespace {

struct CudaDevices {
  static constexpr char kKind[] = "cuda";

  static int32_t count() {
    std::string why;
    const int32_t devices = count_devices(why);
    if (devices == 0) throw Error(ErrorCode::kUnsupported, why);
    return devices;
  }
  static DeviceFacts describe(int32_t index) { return describe_device(index); }
  static std::unique_ptr<Backend> open(int32_t index, const DeviceOptions& options) {
    return make_cuda_backend({.device = index, .activations = options.activations});
  }
};

}  // namespace
}  // namespace mica::cuda

extern "C" __attribute__((visibility("default"))) const mica::DeviceModule* mica_device_module(
    uint32_t abi) {
  return mica::export_devices<mica::cuda::CudaDevices>(abi);
}
