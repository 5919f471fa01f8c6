#include "lib/runtime/default_context.h"

#include <algorithm>

namespace mica {

int64_t short_context(const ModelConfig& config) {
  using Scaling = RopeConfig::Scaling;
  const auto limit = [&](const RopeConfig& rope) {
    const bool changes = rope.scaling == Scaling::kLongRope || rope.scaling == Scaling::kDynamic;
    return changes ? rope.original_context_length : config.context_length;
  };
  return std::min(
      {config.context_length, limit(config.rope), limit(config.window_rope.value_or(config.rope))});
}

}  // namespace mica
