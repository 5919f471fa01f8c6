#include "lib/text/jinja_search.h"

#include <cstring>
#include <string>

namespace mica::jinja {

size_t find_bytes(Budget& budget, std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string::npos;
  if (needle.empty()) return from;
  // Unlike string_view::find, memmem takes linear time for every needle.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  const size_t offset = found ? static_cast<const char*>(found) - text.data() : std::string::npos;
  budget.charge(((found ? offset : text.size()) - from + needle.size()) / Budget::kBytesPerStep +
                1);
  return offset;
}

size_t find_last_bytes(Budget& budget, std::string_view text, std::string_view needle, size_t end) {
  if (needle.size() > end) return std::string::npos;
  const size_t offset = text.substr(0, end).rfind(needle);
  const size_t scanned = end - (offset == std::string::npos ? 0 : offset);
  budget.charge(scanned / Budget::kBytesPerStep * (needle.size() + 1) + 1);
  return offset;
}

}  // namespace mica::jinja
