// Any bytes as a chat template, rendered on a small conversation: text and ordered marks, or an
// Error.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/base/error.h"
#include "lib/base/json.h"
#include "lib/base/utf8.h"
#include "lib/text/chat_template.h"

namespace {

const mica::Json& context() {
  static const mica::Json value = mica::Json::parse(
      R"({"messages": [{"role": "system", "content": "s"},
                       {"role": "user", "content": " h\u00e9llo <|im_end|> \ud83d\ude42 "},
                       {"role": "assistant", "content": null, "reasoning_content": "r",
                        "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]},
                       {"role": "user", "content": [{"type": "text", "text": "t"}]}],
          "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
          "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})",
      "context");
  return value;
}

void check(const mica::RenderedChat& chat) {
  size_t end = 0;
  if (mica::find_invalid_utf8(chat.text) != mica::kValid) std::abort();
  for (const mica::TextSpan& span : chat.content_spans) {
    if (span.begin < end || span.begin >= span.end || span.end > chat.text.size()) std::abort();
    end = span.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    check(mica::ChatTemplate::parse(source).render(context()));
  } catch (const mica::Error&) {
  }
  return 0;
}
