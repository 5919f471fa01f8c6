// Zeroed memory aligned for any kernel (64 bytes), move-only. Large buffers come from the system
// page by page, so that untouched parts cost nothing; those of 32 MB and more in huge pages where
// it gives them. Throws std::bad_alloc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace mica {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(uint64_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { swap(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    AlignedBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }

  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void swap(AlignedBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace mica
