#include "tests/support/mock_memory.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace mica::testing {
namespace {

constexpr uint64_t kAlignment = 256;
constexpr int kPoison = 0xff;  // NaN in all types
// Of a large piece so much is poisoned, and the rest given back to the system.
constexpr uint64_t kMostPoison = 64 << 20;

std::byte* map(uint64_t bytes, int protection) {
  void* pages =
      mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(pages);
}

// The whole pages among those bytes.
void discard_pages(std::byte* begin, std::byte* end) {
  constexpr uintptr_t kPage = 4096;
  const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + kPage - 1) / kPage * kPage;
  const uintptr_t last = reinterpret_cast<uintptr_t>(end) / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

// Twice the limit, so that holes between pieces are no reason to fail.
MockMemory::MockMemory(uint64_t limit)
    : limit_(limit),
      space_(2 * limit + (1 << 20)),
      faults_(map(space_, PROT_NONE)),
      memory_(map(space_, PROT_READ | PROT_WRITE)) {}

MockMemory::~MockMemory() {
  munmap(faults_, space_);
  munmap(memory_, space_);
}

void MockMemory::count(uint64_t used, uint64_t held) {
  if (used > limit_ || held > limit_ - used) throw std::bad_alloc();
  used_ = used;
  held_ = held;
  peak_ = std::max(peak_, used + held);
}

void MockMemory::hold(uint64_t bytes) {
  count(used_, bytes);
}

std::byte* MockMemory::allocate(uint64_t bytes) {
  if (bytes > limit_) throw std::bad_alloc();
  const uint64_t whole = (std::max<uint64_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  uint64_t offset = 0;
  for (const auto& [begin, piece] : pieces_) {
    if (begin - offset >= whole) break;
    offset = begin + piece.whole;
  }
  if (whole > space_ - offset) throw std::bad_alloc();
  count(used_ + whole, held_);
  pieces_[offset] = {bytes, whole};
  // Above what was ever allocated all is zero, and not to be touched without need.
  if (offset < once_used_) std::memset(memory_ + offset, 0, std::min(bytes, once_used_ - offset));
  once_used_ = std::max(once_used_, offset + whole);
  std::memset(memory_ + offset + bytes, kPoison, whole - bytes);
  return faults_ + offset;
}

void MockMemory::release(std::byte* address) {
  const auto piece = pieces_.find(static_cast<uint64_t>(address - faults_));
  std::byte* memory = memory_ + piece->first;
  const uint64_t whole = piece->second.whole, poisoned = std::min(whole, kMostPoison);
  std::memset(memory, kPoison, poisoned);
  discard_pages(memory + poisoned, memory + whole);
  used_ -= piece->second.whole;
  pieces_.erase(piece);
}

std::byte* MockMemory::find(const void* address, uint64_t bytes) const {
  const uint64_t offset =
      reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(faults_);
  const auto after = pieces_.upper_bound(offset);  // of a lower address too: far above all pieces
  if (after == pieces_.begin()) return nullptr;
  const auto& [begin, piece] = *std::prev(after);
  const uint64_t within = offset - begin;
  if (within > piece.asked || bytes > piece.asked - within) return nullptr;
  return memory_ + offset;
}

}  // namespace mica::testing
