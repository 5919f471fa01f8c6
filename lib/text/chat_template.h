// Chat templates: the subset of Jinja that model families use, rendered byte for byte as
// transformers' apply_chat_template renders it (sandboxed jinja2 with trim_blocks, lstrip_blocks,
// loop controls, tojson without HTML escaping, raise_exception, strftime_now, {% generation %}).
//
// A template is untrusted code: parsing and rendering have depth, step and output budgets and
// always end. A ChatTemplate is immutable; render may be called from several threads.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/json.h"
#include "lib/text/text_span.h"

namespace mica {

struct RenderedChat {
  std::string text;
  // Sorted, disjoint byte ranges of `text` that come from message contents (strings inside
  // `messages` under the keys "content", "text", "reasoning_content", "reasoning" and "thinking"):
  // special-token spellings in there are plain text to the tokenizer.
  std::vector<TextSpan> content_spans;
};

class ChatTemplate {
 public:
  // Throws Error(kInvalidFile) with line number: "chat template: line 3: expected ..., found ...";
  // Error(kUnsupported) for a construct that is not known here, by name.
  static ChatTemplate parse(std::string_view source);
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `context` holds messages, add_generation_prompt, bos_token, eos_token, tools, ... as the
  // template expects. A raise_exception() of the template is Error(kUsage) with its message.
  RenderedChat render(const Json& context) const;

 private:
  struct State;
  explicit ChatTemplate(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace mica
