// From what a person says to token ids.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/json.h"
#include "lib/runtime/loaded_model.h"

namespace mica {

// Renders messages ([{"role": "user", "content": "..."}, ...]) with `chat_template`, up to where
// the assistant begins to speak, giving it the spellings of the model's special tokens. Throws
// Error(kUsage) for messages that are no array of objects with a "role" each, and for what the
// template itself refuses.
RenderedChat render_chat(const LoadedModel& model, const ChatTemplate& chat_template,
                         const Json& messages);

// Ids of a rendered chat: no token is added (the template wrote them all, so BOS is not doubled),
// and special tokens spelt inside message contents stay text.
std::vector<TokenId> encode_chat(const LoadedModel& model, const RenderedChat& chat);

// Ids of a raw prompt as the tokenizer's post-processor has it; a BOS that the text already begins
// with is not doubled. `plain`: spellings of special tokens are text.
std::vector<TokenId> encode_prompt(const LoadedModel& model, std::string_view text,
                                   bool plain = false);

}  // namespace mica
