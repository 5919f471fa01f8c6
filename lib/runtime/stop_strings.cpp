#include "lib/runtime/stop_strings.h"

#include <algorithm>
#include <utility>

#include "lib/base/error.h"

namespace mica {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& string : strings_) {
    if (string.empty()) throw Error(ErrorCode::kUsage, "stop string: expected text, found none");
  }
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  size_t stop = std::string::npos;
  for (const std::string& string : strings_) stop = std::min(stop, held_.find(string));
  if (stop != std::string::npos) {
    found_ = true;
    held_.resize(stop);
    return std::exchange(held_, {});
  }
  // The longest end of the text that some stop string begins with.
  size_t kept = 0;
  for (const std::string& string : strings_) {
    for (size_t size = std::min(string.size() - 1, held_.size()); size > kept; --size) {
      if (held_.ends_with(std::string_view(string).substr(0, size))) kept = size;
    }
  }
  std::string certain = held_.substr(0, held_.size() - kept);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopStrings::flush() {
  return found_ ? std::string() : std::exchange(held_, {});
}

}  // namespace mica
