// Memory of a mock device. The addresses it gives fault when the host reads or writes them: what
// they stand for lies elsewhere, and find() tells where to the device alone. Has a limit, a peak,
// and poison in what was freed and beside what was asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace mica::testing {

class MockMemory {
 public:
  explicit MockMemory(uint64_t limit);
  ~MockMemory();
  MockMemory(const MockMemory&) = delete;
  MockMemory& operator=(const MockMemory&) = delete;

  // Zeroed, aligned to 256 bytes; counted as whole pieces of 256. Throws std::bad_alloc beyond the
  // limit.
  std::byte* allocate(uint64_t bytes);
  void release(std::byte* address);
  // Counts memory that the device holds elsewhere, `bytes` of it from now on. Throws std::bad_alloc
  // beyond the limit, the count unchanged.
  void hold(uint64_t bytes);

  // The memory behind [address, address + bytes), which lies in one allocation; or nullptr.
  std::byte* find(const void* address, uint64_t bytes) const;

  uint64_t limit() const { return limit_; }
  uint64_t used() const { return used_ + held_; }
  uint64_t peak() const { return peak_; }

 private:
  void count(uint64_t used, uint64_t held);

  uint64_t limit_, used_ = 0, held_ = 0, peak_ = 0;
  uint64_t space_;          // bytes of either mapping
  uint64_t once_used_ = 0;  // of it, so much was allocated at some time
  std::byte* faults_;       // addresses: no access
  std::byte* memory_;       // what they stand for
  struct Piece {
    uint64_t asked, whole;
  };
  std::map<uint64_t, Piece> pieces_;  // by offset
};

}  // namespace mica::testing
