// Counts the bytes that a test has allocated, to show that damaged input cannot make a reader take
// more than its size calls for. Link counting_new.cpp, which replaces operator new for the whole
// program. Counts one thread's allocations.
#pragma once

#include <cstdint>

namespace mica::testing {

// Bytes allocated and not yet freed, and the most there were since reset_peak().
extern thread_local int64_t allocated_bytes;
extern thread_local int64_t peak_bytes;

inline void reset_peak() {
  peak_bytes = allocated_bytes;
}

}  // namespace mica::testing
