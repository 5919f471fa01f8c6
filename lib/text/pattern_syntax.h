// Split patterns are written for Oniguruma, which reads them in Ruby's syntax; PCRE2 runs them.
// This is the translation between the two, for the part of the syntax on which they can be made to
// agree.
#pragma once

#include <string>
#include <string_view>

namespace mica {

// How much of Unicode a translated pattern has to know. kKnown is faster and exact for texts
// without newer code points (has_newer_points); kNewer is exact for all.
enum class UnicodeReach { kKnown, kNewer };

// Throws Error(kUnsupported) naming what is not known here; `name` begins the sentence. The result
// is for PCRE2_UTF | PCRE2_UCP.
std::string translate_pattern(std::string_view pattern, UnicodeReach reach, std::string_view name);

}  // namespace mica
