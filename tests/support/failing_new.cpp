#include "tests/support/failing_new.h"

#include <cstddef>
#include <cstdlib>

namespace mica::testing {

constinit thread_local int64_t allocations_left = std::numeric_limits<int64_t>::max();

namespace {

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (allocations_left-- <= 0) throw std::bad_alloc();
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = alignment <= alignof(std::max_align_t) ? std::malloc(bytes ? bytes : 1)
                                                        : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace
}  // namespace mica::testing

void* operator new(std::size_t bytes) {
  return mica::testing::allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return mica::testing::allocate(bytes, static_cast<std::size_t>(alignment));
}
// std::stable_sort's; the default one would not go with the delete below.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  try {
    return operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
