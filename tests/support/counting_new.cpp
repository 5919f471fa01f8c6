#include "tests/support/counting_new.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace mica::testing {

thread_local int64_t allocated_bytes = 0;
thread_local int64_t peak_bytes = 0;

namespace {

void* allocate(std::size_t bytes, std::size_t alignment) {
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(bytes ? bytes : 1)
                                                        : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  allocated_bytes += static_cast<int64_t>(malloc_usable_size(memory));
  peak_bytes = std::max(peak_bytes, allocated_bytes);
  return memory;
}

void release(void* memory) {
  allocated_bytes -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace
}  // namespace mica::testing

void* operator new(std::size_t bytes) {
  return mica::testing::allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return mica::testing::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  mica::testing::release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  mica::testing::release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  mica::testing::release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  mica::testing::release(memory);
}
