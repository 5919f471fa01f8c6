#include <new>
#include <utility>

#include "backends/cuda/driver.h"

namespace mica::cuda {

DeviceMemory::DeviceMemory(Driver& driver, uint64_t bytes) : driver_(&driver) {
  if (bytes == 0) return;
  data_ = driver.allocate(bytes);
  if (data_ == nullptr) throw std::bad_alloc();
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : driver_(other.driver_), data_(std::exchange(other.data_, nullptr)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(driver_, other.driver_);
  std::swap(data_, other.data_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) driver_->release(data_);
}

}  // namespace mica::cuda
