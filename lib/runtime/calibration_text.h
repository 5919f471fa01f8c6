// The text that calibration runs over, cut into windows of tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/model/config.h"
#include "lib/text/tokenizer.h"

namespace mica {

// The one that comes with the program (lib/runtime/calibration/SOURCES.md), UTF-8.
std::string_view default_calibration_text();

struct CalibrationWindows {
  int64_t context = 0;
  std::vector<TokenId> tokens;  // [count, context]
};

struct CalibrationText {
  CalibrationWindows windows;
  CalibrationWindows held_out;  // to judge the result by: a fifth of the windows, at most 4
};

// Windows of 512 tokens (less where the model has less), at most `most_tokens` and at least one
// besides those held out, spread evenly over the text; each begins with what the tokenizer puts in
// front. Throws Error(kUsage) for a text that is not UTF-8 or less than one window, naming it by
// `name`.
CalibrationText cut_calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                     std::string_view text, const std::string& name,
                                     int64_t most_tokens);

// The same number of windows of tokens drawn from the whole vocabulary, always the same ones.
// Throws Error(kUsage) for more than a text would ever give.
CalibrationText draw_calibration_tokens(const Tokenizer& tokenizer, const ModelConfig& config,
                                        int64_t most_tokens);

}  // namespace mica
