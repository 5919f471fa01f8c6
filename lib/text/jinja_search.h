// Searching in bytes at a cost that is known beforehand, whatever the bytes.
#pragma once

#include <cstddef>
#include <string_view>

#include "lib/text/jinja_budget.h"

namespace mica::jinja {

// First occurrence of `needle` at or after `from`, or std::string::npos; linear time.
size_t find_bytes(Budget& budget, std::string_view text, std::string_view needle, size_t from);
// Last occurrence that ends at or before `end`, or npos.
size_t find_last_bytes(Budget& budget, std::string_view text, std::string_view needle, size_t end);

}  // namespace mica::jinja
