// The few things that the backend asks of a device and its driver. driver_cuda.cpp has them from
// the CUDA runtime, driver_host.cpp from plain memory of the host, for tests; which of them is
// linked decides where kernels run.
//
// Failures are Error(kRuntime) sentences that name the call, the device and the numbers; a device
// that was lost fails every later call with the sentence of the first. release functions never
// throw. One Driver is used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "lib/backend/device_module.h"

namespace mica::cuda {

using StreamHandle = void*;
using EventHandle = void*;

// Usable devices of this machine; `why` says why there is none.
int count_devices(std::string& why);
// Throws Error where the driver refuses.
DeviceFacts describe_device(int index);

class Driver {
 public:
  virtual ~Driver() = default;
  // Throws Error(kUnsupported) where this module has no code for the device.
  static std::unique_ptr<Driver> open(int index);

  virtual std::string device_name() const = 0;  // "NVIDIA H200"
  virtual int multiprocessors() const = 0;
  virtual uint64_t free_bytes() = 0;

  // nullptr where there is not that much. Not zeroed.
  virtual std::byte* allocate(uint64_t bytes) = 0;
  virtual void release(std::byte* data) noexcept = 0;
  // nullptr where the system refuses to pin.
  virtual std::byte* allocate_pinned(uint64_t bytes) = 0;
  virtual void release_pinned(std::byte* data) noexcept = 0;

  virtual StreamHandle make_stream() = 0;
  virtual void release_stream(StreamHandle stream) noexcept = 0;
  virtual EventHandle make_event() = 0;
  virtual void release_event(EventHandle event) noexcept = 0;
  virtual void record(EventHandle event, StreamHandle stream) = 0;
  virtual void wait(StreamHandle stream, EventHandle event) = 0;  // on the device
  virtual void synchronize(EventHandle event) = 0;                // of the calling thread
  virtual void synchronize_stream(StreamHandle stream) = 0;

  virtual void clear(std::byte* data, uint64_t bytes, StreamHandle stream) = 0;
  virtual void upload(const void* from, void* to, uint64_t bytes, StreamHandle stream) = 0;
  virtual void download(const void* from, void* to, uint64_t bytes, StreamHandle stream) = 0;

  // Before and after a kernel is started: the device of this thread; whether it could be.
  virtual void use() = 0;
  virtual void check_launch(const char* kernel) = 0;
};

// Move-only handles.
class Stream {
 public:
  explicit Stream(Driver& driver) : driver_(&driver), handle_(driver.make_stream()) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { driver_->release_stream(handle_); }
  StreamHandle get() const { return handle_; }

 private:
  Driver* driver_;
  StreamHandle handle_;
};

class Event {
 public:
  explicit Event(Driver& driver) : driver_(&driver), handle_(driver.make_event()) {}
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { driver_->release_event(handle_); }
  EventHandle get() const { return handle_; }

 private:
  Driver* driver_;
  EventHandle handle_;
};

// Memory of the device. Throws std::bad_alloc.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Driver& driver, uint64_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();
  std::byte* data() const { return data_; }

 private:
  Driver* driver_ = nullptr;
  std::byte* data_ = nullptr;
};

}  // namespace mica::cuda
