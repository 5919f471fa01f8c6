#include "lib/runtime/calibration_text.h"

#include <algorithm>
#include <fmt/core.h>
#include <random>
#include <span>

#include "lib/base/error.h"
#include "lib/base/utf8.h"

// From calibration_text_data.cpp.in.
extern "C" const char mica_calibration_begin[], mica_calibration_end[];

namespace mica {
namespace {

constexpr int64_t kContext = 512, kMostHeldOut = 4;
constexpr int64_t kMostDrawn = 1 << 24;  // more than any text of use

// Windows of `taken` tokens each behind the prefix.
CalibrationText cut(std::span<const TokenId> tokens, std::span<const TokenId> prefix,
                    int64_t context, int64_t most_tokens) {
  const int64_t taken = context - std::ssize(prefix), available = std::ssize(tokens) / taken;
  const int64_t wanted = std::max<int64_t>(1, most_tokens / context);
  const int64_t held_out = std::min({kMostHeldOut, available / 5, (wanted + 3) / 4});
  const int64_t count = std::min(available, wanted + held_out);
  const int64_t part = held_out == 0 ? 0 : count / held_out;  // one of so many is held out
  CalibrationText text{.windows = {.context = context}, .held_out = {.context = context}};
  for (int64_t i = 0; i < count; ++i) {
    const bool is_held_out = part > 0 && i % part == part / 2 && i / part < held_out;
    std::vector<TokenId>& to = is_held_out ? text.held_out.tokens : text.windows.tokens;
    const auto first = tokens.begin() + i * available / count * taken;
    to.insert(to.end(), prefix.begin(), prefix.end());
    to.insert(to.end(), first, first + taken);
  }
  return text;
}

// Tokens of a window, which has room for some behind the prefix.
int64_t choose_context(const Tokenizer& tokenizer, const ModelConfig& config) {
  const int64_t context = std::min(kContext, config.context_length);
  const int64_t prefix = std::ssize(tokenizer.prefix_tokens());
  if (prefix < context) return context;
  throw Error(ErrorCode::kDoesNotFit,
              fmt::format("{}: calibration: expected a context of more than {} tokens, which the "
                          "tokenizer puts in front, model has {}",
                          config.name, prefix, context));
}

void require_utf8(std::string_view text, const std::string& name) {
  const size_t invalid = find_invalid_utf8(text);
  if (invalid == kValid) return;
  throw Error(ErrorCode::kUsage,
              fmt::format("{}: calibration text: expected UTF-8, found 0x{:02x} at byte {}", name,
                          static_cast<uint8_t>(text[invalid]), invalid));
}

}  // namespace

std::string_view default_calibration_text() {
  return {mica_calibration_begin,
          static_cast<size_t>(mica_calibration_end - mica_calibration_begin)};
}

CalibrationText cut_calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                     std::string_view text, const std::string& name,
                                     int64_t most_tokens) {
  const int64_t context = choose_context(tokenizer, config);
  require_utf8(text, name);
  const std::vector<TokenId> tokens =
      tokenizer.encode(text, {.match_added_tokens = false, .add_special_tokens = false});
  for (const TokenId id : tokens) {
    if (id >= 0 && id < config.vocabulary_size) continue;
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: calibration text: expected token ids below {}, found {}", name,
                            config.vocabulary_size, id));
  }
  const std::span<const TokenId> prefix = tokenizer.prefix_tokens();
  const int64_t taken = context - std::ssize(prefix);
  if (std::ssize(tokens) < taken) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: calibration text: expected at least {} tokens (one window), "
                            "found {}",
                            name, taken, tokens.size()));
  }
  return cut(tokens, prefix, context, most_tokens);
}

CalibrationText draw_calibration_tokens(const Tokenizer& tokenizer, const ModelConfig& config,
                                        int64_t most_tokens) {
  if (most_tokens > kMostDrawn) {
    throw Error(ErrorCode::kUsage,
                fmt::format("random: expected at most {} calibration tokens, found {}", kMostDrawn,
                            most_tokens));
  }
  const int64_t context = choose_context(tokenizer, config);
  std::vector<TokenId> tokens(
      static_cast<size_t>(std::max(most_tokens, context) + kMostHeldOut * context));
  std::mt19937 random(1);
  for (TokenId& id : tokens) {
    id = static_cast<TokenId>(random() % static_cast<uint64_t>(config.vocabulary_size));
  }
  return cut(tokens, tokenizer.prefix_tokens(), context, most_tokens);
}

}  // namespace mica
