// Base64 (RFC 4648, with padding), as JSON files carry bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mica {

std::string to_base64(std::string_view bytes);

// Nothing when the text is not what to_base64 makes of some bytes.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace mica
