// The CUDA runtime, linked statically: it needs nothing but the driver's libcuda.so.1, and that
// only when a device is asked for.
#include <cctype>
#include <cstdio>
#include <cstring>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fstream>

#include "backends/cuda/driver.h"
#include "lib/base/error.h"

namespace mica::cuda {
namespace {

std::string version_text(int version) {  // 13020: "13.2"
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string describe_error(cudaError_t error) {
  return std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ", " +
         std::to_string(static_cast<int>(error)) + ")";
}

// After these, no call of the process can use the device again.
bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorAssert:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContained:
      return true;
    default:
      return false;
  }
}

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, which, index) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return value;
}

// Operations (a multiplication is one, an addition another) of a multiprocessor and clock on its
// matrix units, by compute capability; NVIDIA's white papers of each architecture.
struct MatrixRate {
  int capability;
  double int8;
  double bf16;
};
constexpr MatrixRate kMatrixRates[] = {{75, 2048, 1024}, {80, 4096, 2048}, {86, 2048, 1024},
                                       {89, 2048, 1024}, {90, 8192, 4096}, {100, 16384, 8192},
                                       {103, 512, 8192}, {120, 2048, 1024}};

// Of the PCI Express link, from what Linux knows; 0 where it does not say.
double link_rate(int index) {
  char id[32] = {};
  if (cudaDeviceGetPCIBusId(id, sizeof id, index) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  std::string folder = "/sys/bus/pci/devices/";
  for (const char* c = id; *c; ++c) folder += static_cast<char>(std::tolower(*c));
  double transfers = 0, width = 0;  // "32.0 GT/s PCIe", "16"
  std::ifstream(folder + "/max_link_speed") >> transfers;
  std::ifstream(folder + "/max_link_width") >> width;
  return transfers * 1e9 * width / 8 * 128 / 130;
}

class CudaDriver final : public Driver {
 public:
  explicit CudaDriver(int index) : index_(index) {
    cudaDeviceProp properties;
    require(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
    name_ = properties.name;
    multiprocessors_ = properties.multiProcessorCount;
    use();
    require(cudaFree(nullptr), "cudaFree");  // makes the context
  }

  std::string device_name() const override { return name_; }
  int multiprocessors() const override { return multiprocessors_; }
  uint64_t free_bytes() override {
    use();
    size_t free = 0, total = 0;
    require(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
  }

  std::byte* allocate(uint64_t bytes) override {
    use();
    void* data = nullptr;
    return is_memory(cudaMalloc(&data, bytes), "cudaMalloc", bytes) ? static_cast<std::byte*>(data)
                                                                    : nullptr;
  }
  void release(std::byte* data) noexcept override {
    cudaSetDevice(index_);
    cudaFree(data);
    cudaGetLastError();
  }
  std::byte* allocate_pinned(uint64_t bytes) override {
    use();
    void* data = nullptr;
    const cudaError_t error = cudaHostAlloc(&data, bytes, cudaHostAllocPortable);
    if (error == cudaSuccess) return static_cast<std::byte*>(data);
    cudaGetLastError();
    if (is_sticky(error)) fail(error, "cudaHostAlloc of " + std::to_string(bytes) + " bytes");
    return nullptr;
  }
  void release_pinned(std::byte* data) noexcept override {
    cudaSetDevice(index_);
    cudaFreeHost(data);
    cudaGetLastError();
  }

  StreamHandle make_stream() override {
    use();
    cudaStream_t stream;
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return stream;
  }
  void release_stream(StreamHandle stream) noexcept override {
    cudaSetDevice(index_);
    cudaStreamDestroy(static_cast<cudaStream_t>(stream));
    cudaGetLastError();
  }
  EventHandle make_event() override {
    use();
    cudaEvent_t event;
    require(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return event;
  }
  void release_event(EventHandle event) noexcept override {
    cudaSetDevice(index_);
    cudaEventDestroy(static_cast<cudaEvent_t>(event));
    cudaGetLastError();
  }
  void record(EventHandle event, StreamHandle stream) override {
    use();
    require(cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)),
            "cudaEventRecord");
  }
  void wait(StreamHandle stream, EventHandle event) override {
    use();
    require(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0),
        "cudaStreamWaitEvent");
  }
  void synchronize(EventHandle event) override {
    use();
    require(cudaEventSynchronize(static_cast<cudaEvent_t>(event)), "cudaEventSynchronize");
  }
  void synchronize_stream(StreamHandle stream) override {
    use();
    require(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
  }

  void clear(std::byte* data, uint64_t bytes, StreamHandle stream) override {
    use();
    require(cudaMemsetAsync(data, 0, bytes, static_cast<cudaStream_t>(stream)), "cudaMemsetAsync",
            bytes);
  }
  void upload(const void* from, void* to, uint64_t bytes, StreamHandle stream) override {
    copy(from, to, bytes, cudaMemcpyHostToDevice, stream);
  }
  void download(const void* from, void* to, uint64_t bytes, StreamHandle stream) override {
    copy(from, to, bytes, cudaMemcpyDeviceToHost, stream);
  }

  void use() override {
    if (!lost_.empty()) throw Error(ErrorCode::kRuntime, lost_);
    require(cudaSetDevice(index_), "cudaSetDevice");
  }
  void check_launch(const char* kernel) override {
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) fail(error, std::string("start of kernel ") + kernel);
  }

 private:
  void copy(const void* from, void* to, uint64_t bytes, cudaMemcpyKind kind, StreamHandle stream) {
    use();
    if (bytes == 0) return;
    require(cudaMemcpyAsync(to, from, bytes, kind, static_cast<cudaStream_t>(stream)),
            kind == cudaMemcpyHostToDevice ? "cudaMemcpyAsync to the device"
                                           : "cudaMemcpyAsync from the device",
            bytes);
  }
  [[noreturn]] void fail(cudaError_t error, const std::string& call) {
    const std::string sentence = "cuda: device " + std::to_string(index_) + " (" + name_ +
                                 "): " + call + " failed: " + describe_error(error);
    cudaGetLastError();  // what is not sticky ends here
    if (is_sticky(error)) lost_ = sentence + "; the device is lost to this process";
    throw Error(ErrorCode::kRuntime, lost_.empty() ? sentence : lost_);
  }
  void require(cudaError_t error, const char* call, uint64_t bytes = 0) {
    if (error == cudaSuccess) return;
    fail(error, bytes == 0 ? call : std::string(call) + " of " + std::to_string(bytes) + " bytes");
  }
  bool is_memory(cudaError_t error, const char* call, uint64_t bytes) {
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return false;
    }
    require(error, call, bytes);
    return true;
  }

  int index_;
  int multiprocessors_ = 1;
  std::string name_ = "not known";
  std::string lost_;
};

}  // namespace

int count_devices(std::string& why) {
  int found = 0, needed = CUDART_VERSION;
  void* library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) {
    why = "no NVIDIA driver: libcuda.so.1 was not found; this module needs one for CUDA " +
          version_text(needed);
    return 0;
  }
  dlclose(library);
  if (cudaDriverGetVersion(&found) != cudaSuccess) found = 0;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver || (found > 0 && found / 1000 < needed / 1000)) {
    why = "the NVIDIA driver is too old: it is for CUDA " + version_text(found) +
          ", this module needs " + version_text(needed);
    return 0;
  }
  if (error != cudaSuccess || count == 0) {
    why = "no NVIDIA GPU: " + describe_error(error == cudaSuccess ? cudaErrorNoDevice : error) +
          "; driver for CUDA " + version_text(found);
    return 0;
  }
  return count;
}

DeviceFacts describe_device(int index) {
  DeviceFacts facts;
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw Error(ErrorCode::kRuntime,
                "cuda: device " + std::to_string(index) +
                    ": cudaGetDeviceProperties failed: " + describe_error(error));
  }
  std::snprintf(facts.name, sizeof facts.name, "%.*s", static_cast<int>(sizeof facts.name) - 1,
                properties.name);
  facts.memory_bytes = properties.totalGlobalMem;
  facts.free_bytes = CudaDriver(index).free_bytes();
  // Kilohertz; two transfers a clock.
  facts.read_bytes_per_second = 2e3 * attribute(cudaDevAttrMemoryClockRate, index) *
                                attribute(cudaDevAttrGlobalMemoryBusWidth, index) / 8;
  const double clocks =
      1e3 * attribute(cudaDevAttrClockRate, index) * properties.multiProcessorCount;
  const int capability = properties.major * 10 + properties.minor;
  for (const MatrixRate& rate : kMatrixRates) {
    if (rate.capability > capability) break;
    facts.int8_operations = clocks * rate.int8;
    facts.float_operations = clocks * rate.bf16;
  }
  facts.upload_bytes_per_second = link_rate(index);
  return facts;
}

std::unique_ptr<Driver> Driver::open(int index) {
  const int capability = attribute(cudaDevAttrComputeCapabilityMajor, index) * 10 +
                         attribute(cudaDevAttrComputeCapabilityMinor, index);
  if (capability < MICA_CUDA_LEAST_CAPABILITY) {
    throw Error(ErrorCode::kUnsupported, "cuda: device " + std::to_string(index) +
                                             ": expected compute capability " +
                                             version_text(MICA_CUDA_LEAST_CAPABILITY * 100) +
                                             " or later, found " + version_text(capability * 100));
  }
  return std::make_unique<CudaDriver>(index);
}

}  // namespace mica::cuda
