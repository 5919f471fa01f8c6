// The error of a file whose bytes are not what its format says.
#pragma once

#include <string>
#include <string_view>

#include "lib/base/error.h"

namespace mica {

// Throws Error(kInvalidFile) "WHAT: REASON", with a reason like "expected 2, found 3".
[[noreturn]] inline void fail_invalid(std::string_view what, std::string_view reason) {
  throw Error(ErrorCode::kInvalidFile, std::string(what) + ": " + std::string(reason));
}

}  // namespace mica
