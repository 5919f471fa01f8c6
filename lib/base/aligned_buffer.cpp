#include "lib/base/aligned_buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace mica {
namespace {

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kMappedFrom = 1 << 20;
// Weights and caches, which are read faster with fewer pages. Below, an untouched rest of a huge
// page would be much of the whole.
constexpr uint64_t kHugeFrom = 32 << 20;

std::byte* map_pages(uint64_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  if (bytes >= kHugeFrom) madvise(pages, bytes, MADV_HUGEPAGE);  // a hint
  return static_cast<std::byte*>(pages);
}

std::byte* allocate_zeroed(uint64_t bytes) {
  const uint64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, rounded);
  return memory ? static_cast<std::byte*>(std::memset(memory, 0, rounded)) : nullptr;
}

}  // namespace

AlignedBuffer::AlignedBuffer(uint64_t bytes) {
  if (bytes == 0) return;
  // mmap rounds up to whole pages and refuses what cannot be; nothing here can overflow.
  data_ = bytes >= kMappedFrom ? map_pages(bytes) : allocate_zeroed(bytes);
  if (data_ == nullptr) throw std::bad_alloc();
  bytes_ = bytes;
}

AlignedBuffer::~AlignedBuffer() {
  if (bytes_ >= kMappedFrom) {
    munmap(data_, bytes_);
  } else {
    std::free(data_);
  }
}

}  // namespace mica
