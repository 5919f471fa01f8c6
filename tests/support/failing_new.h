// Makes one allocation of this thread fail, to show that running out of memory is an error and
// leaks nothing. Link failing_new.cpp, which replaces operator new for the whole program.
#pragma once

#include <cstdint>
#include <limits>
#include <new>

namespace mica::testing {

// Allocations of this thread that still succeed.
extern constinit thread_local int64_t allocations_left;

// Runs `call` again and again, its first, second, third ... allocation failing, until it runs
// through; returns how many failures there were. `call` must let std::bad_alloc out.
template <class Call>
int64_t fail_each_allocation(Call&& call) {
  for (int64_t k = 0;; ++k) {
    allocations_left = k;
    try {
      call();
      allocations_left = std::numeric_limits<int64_t>::max();
      return k;
    } catch (const std::bad_alloc&) {
      allocations_left = std::numeric_limits<int64_t>::max();
    } catch (...) {
      allocations_left = std::numeric_limits<int64_t>::max();
      throw;
    }
  }
}

}  // namespace mica::testing
