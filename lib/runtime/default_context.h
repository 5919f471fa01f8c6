// How much context a session has when nobody says.
#pragma once

#include <cstdint>

#include "lib/model/config.h"

namespace mica {

constexpr int64_t kDefaultContext = 8192;

// Positions up to which the rotary embedding is the one for short texts: some models have another
// for longer contexts, which then holds from the first token on.
int64_t short_context(const ModelConfig& config);

inline int64_t default_context(const ModelConfig& config) {
  const int64_t limit = short_context(config);
  return limit < kDefaultContext ? limit : kDefaultContext;
}

}  // namespace mica
