#include "lib/text/chat_template.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_parser.h"

namespace mica {

struct ChatTemplate::State {
  jinja::SyntaxTree tree;
};

namespace {

constexpr size_t kMaxSourceBytes = size_t{1} << 20;
constexpr std::string_view kContentKeys[] = {"content", "reasoning_content", "reasoning",
                                             "thinking", "text"};

[[noreturn]] void rethrow(const jinja::Failure& failure, int line) {
  if (failure.code == ErrorCode::kUsage) {
    throw Error(failure.code, "chat template: " + failure.message);
  }
  throw Error(failure.code, fmt::format("chat template: line {}: {}", line, failure.message));
}

jinja::Value to_value(const Json& json, bool in_messages, bool is_content) {
  using jinja::Value;
  if (json.is_null()) return Value();
  if (json.is_bool()) return Value(json.as_bool());
  if (json.is_integer()) return Value(json.as_integer());
  if (json.is_number()) return Value(json.as_number());
  if (json.is_string()) {
    return Value(jinja::make_text(replace_invalid_utf8(json.as_string()), is_content));
  }
  if (json.is_array()) {
    jinja::Values items;
    for (const Json& item : json.as_array())
      items.push_back(to_value(item, in_messages, is_content));
    return jinja::make_list(std::move(items));
  }
  jinja::Entries entries;
  for (const auto& [key, value] : json.as_object()) {
    const bool is_content_key =
        in_messages &&
        std::find(std::begin(kContentKeys), std::end(kContentKeys), key) != std::end(kContentKeys);
    entries.emplace_back(Value(key), to_value(value, in_messages, is_content || is_content_key));
  }
  return Value(std::make_shared<jinja::Dict>(std::move(entries)));
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::parse(std::string_view source) {
  int line = 1;
  try {
    if (source.size() > kMaxSourceBytes) {
      jinja::fail(
          fmt::format("the template has {} bytes, {} are allowed", source.size(), kMaxSourceBytes));
    }
    if (find_invalid_utf8(source) != kValid) jinja::fail("the template is not UTF-8");
    return ChatTemplate(std::make_unique<State>(State{jinja::Parser::parse(source, &line)}));
  } catch (const jinja::Failure& failure) {
    rethrow(failure, line);
  }
}

RenderedChat ChatTemplate::render(const Json& context) const {
  jinja::Evaluator::Context variables;
  int line = 1;
  try {
    for (const auto& [key, value] : context.as_object("chat template: context")) {
      variables.emplace(key, to_value(value, key == "messages", false));
    }
    jinja::Evaluator evaluator(variables);
    try {
      jinja::Text text = evaluator.render(state_->tree.root);
      return {std::move(text.bytes), std::move(text.content)};
    } catch (const jinja::Failure&) {
      line = evaluator.line;
      throw;
    }
  } catch (const jinja::Failure& failure) {
    rethrow(failure, line);
  }
}

}  // namespace mica
