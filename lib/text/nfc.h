// Normalization form C as Hugging Face `tokenizers` has it (Unicode 9 for classes and
// compositions), in linear time but for the sorting of long runs of combining marks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/text_span.h"

namespace mica {

// The normalized text, or nothing when `text` (valid UTF-8) is normalized already. `spans`, sorted
// ranges of `text`, are moved along; an end that falls inside a changed run widens the span to its
// end.
std::optional<std::string> to_nfc(std::string_view text, std::vector<TextSpan>& spans);

}  // namespace mica
