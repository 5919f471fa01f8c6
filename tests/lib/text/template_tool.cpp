// Renders chat templates for compare_templates.py: one JSON object a line on stdin,
//   {"template": "...", "context": {...}}
// and one a line on stdout, {"text": "...", "spans": [[begin, end], ...]} or {"error": "..."}.
#include <iostream>
#include <string>

#include "lib/base/error.h"
#include "lib/base/json.h"
#include "lib/text/chat_template.h"

namespace {

mica::Json render(const std::string& line) {
  mica::Json reply = mica::Json::object();
  try {
    const mica::Json request = mica::Json::parse(line, "request");
    const auto chat_template = mica::ChatTemplate::parse(request["template"].as_string());
    const mica::RenderedChat chat = chat_template.render(request["context"]);
    mica::Json spans = mica::Json::array();
    for (const mica::TextSpan& span : chat.content_spans) {
      spans.push_back(
          mica::Json::Array{static_cast<int64_t>(span.begin), static_cast<int64_t>(span.end)});
    }
    reply["text"] = chat.text;
    reply["spans"] = std::move(spans);
  } catch (const mica::Error& error) {
    reply["error"] = error.message();
  }
  return reply;
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) std::cout << render(line).dump() << '\n';
}
