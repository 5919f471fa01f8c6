// Names what a file that is not a .mica file looks like, for error sentences.
#pragma once

#include <string_view>

#include "lib/base/checked.h"

namespace mica {

// "a GGUF file: ...", "an HTML page: ...", "other bytes". Always a static text that can follow
// "found ".
std::string_view describe_foreign_bytes(Bytes file);

}  // namespace mica
