#include "lib/base/checked.h"

#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {

void fail_overflow(std::string_view what) {
  throw Error(ErrorCode::kInvalidFile,
              fmt::format("{}: expected a number in range, found one that overflows", what));
}

void fail_slice(std::string_view what, uint64_t offset, uint64_t size, uint64_t whole) {
  throw Error(ErrorCode::kInvalidFile,
              fmt::format("{}: expected {} bytes at offset {}, found only {} bytes in all", what,
                          size, offset, whole));
}

void fail_range(std::string_view what, uint64_t value, uint64_t low, uint64_t high) {
  throw Error(ErrorCode::kInvalidFile,
              low == high ? fmt::format("{}: expected {}, found {}", what, low, value)
                          : fmt::format("{}: expected {} to {}, found {}", what, low, high, value));
}

}  // namespace mica
