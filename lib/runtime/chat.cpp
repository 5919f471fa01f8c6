#include "lib/runtime/chat.h"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "lib/base/error.h"

namespace mica {
namespace {

void check_messages(const Json& messages) {
  const auto fail = [](const std::string& rest) { throw Error(ErrorCode::kUsage, rest); };
  if (!messages.is_array()) {
    fail(fmt::format("messages: expected an array, found {}", messages.type_name()));
  }
  const Json::Array& list = messages.as_array();
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].is_object() && list[i]["role"].is_string()) continue;
    fail(fmt::format("messages[{}]: expected an object with a \"role\", found {}", i,
                     list[i].is_object() ? "none" : list[i].type_name()));
  }
}

// A thought under any of the names that transformers knows becomes `reasoning_content`, which most
// templates read, and `thinking`, which the others do.
Json with_reasoning(Json messages) {
  for (Json& message : messages.as_array()) {
    for (const std::string_view name : {"reasoning_content", "thinking", "reasoning"}) {
      const Json thought = std::as_const(message)[name];
      if (thought.is_null()) continue;
      if (!message.find("thinking")) message["thinking"] = thought;
      message["reasoning_content"] = thought;
      break;
    }
  }
  return messages;
}

}  // namespace

RenderedChat render_chat(const LoadedModel& model, const ChatTemplate& chat_template,
                         const Json& messages) {
  check_messages(messages);
  // As transformers does, null where there are none: what is undefined "is not none" either.
  Json context = Json::object({{"messages", with_reasoning(messages)},
                               {"tools", nullptr},
                               {"documents", nullptr},
                               {"add_generation_prompt", true}});
  const SpecialTokens& special = model.special_tokens();
  const auto give = [&](std::string_view name, TokenId id) {
    if (id >= 0) context[name] = model.tokenizer().token_bytes(id);
  };
  give("bos_token", special.bos);
  give("eos_token", special.eos.empty() ? -1 : special.eos.front());
  give("pad_token", special.pad);
  give("unk_token", special.unk);
  return chat_template.render(context);
}

std::vector<TokenId> encode_chat(const LoadedModel& model, const RenderedChat& chat) {
  return model.tokenizer().encode(chat.text,
                                  {.add_special_tokens = false, .plain_spans = chat.content_spans});
}

std::vector<TokenId> encode_prompt(const LoadedModel& model, std::string_view text, bool plain) {
  const Tokenizer& tokenizer = model.tokenizer();
  std::vector<TokenId> ids = tokenizer.encode(text, {.match_added_tokens = !plain});
  const std::span<const TokenId> prefix = tokenizer.prefix_tokens();
  const size_t size = prefix.size();
  const bool doubled = size > 0 && ids.size() >= 2 * size &&
                       std::equal(prefix.begin(), prefix.end(), ids.begin() + size);
  if (doubled) ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(size));
  return ids;
}

}  // namespace mica
