// The escapes of string literals.
#pragma once

#include <string>
#include <string_view>

namespace mica::jinja {

// What stands between the quotes, as Python's unicode-escape codec reads it.
std::string unescape(std::string_view literal);

}  // namespace mica::jinja
