#include "lib/text/jinja_budget.h"

#include <fmt/format.h>

namespace mica::jinja {

void fail(std::string message) {
  throw Failure{ErrorCode::kInvalidFile, std::move(message)};
}
void refuse(std::string message) {
  throw Failure{ErrorCode::kUnsupported, std::move(message)};
}

void Budget::charge(uint64_t steps) {
  if (steps > steps_left_) {
    fail(fmt::format("the template takes more than {} steps to render", kMaxSteps));
  }
  steps_left_ -= steps;
}

void Budget::charge_text(uint64_t bytes) {
  if (bytes > kMaxTextBytes) {
    fail(fmt::format("a string grows to {} bytes, {} are allowed", bytes, kMaxTextBytes));
  }
  charge(bytes / kBytesPerStep + 1);
}

Budget::Level::Level(Budget& budget) : budget_(budget) {
  if (budget.depth_ >= kMaxDepth) {
    fail(fmt::format("evaluation is nested deeper than {} levels", kMaxDepth));
  }
  ++budget.depth_;
}

}  // namespace mica::jinja
