// The nearest word for a misspelt one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mica::cli {

// The word of `known` with the least edit distance to `word`; empty when all are too far (more than
// a third of the letters differ).
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace mica::cli
