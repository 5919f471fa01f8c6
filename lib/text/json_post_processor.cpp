// The post-processor of a tokenizer.json: the tokens around a text.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "lib/base/checked.h"
#include "lib/text/json_slot.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

// A template's ids before and after the text.
void read_template(const Json& processor, std::string_view name, TokenizerParts& parts) {
  const std::string where = fmt::format("{}: TemplateProcessing", name);
  std::vector<uint32_t> sides[2];
  bool text_seen = false;
  for (const Json& piece : processor["single"].as_array(where + " single")) {
    if (const Json* sequence = piece.find("Sequence")) {
      if (text_seen || (*sequence)["id"].as_string(where + " id") != "A") {
        fail_unsupported(name, "a template for single texts that is not one 'A'");
      }
      text_seen = true;
      continue;
    }
    const std::string& token = piece["SpecialToken"]["id"].as_string(where + " SpecialToken id");
    for (const Json& id : processor["special_tokens"][token]["ids"].as_array(where + " ids")) {
      const auto found = checked_cast<uint64_t>(id.as_integer(where + " id"), where + " id");
      checked_range(found, 0, parts.tokens.size() - 1, where + " id");
      sides[text_seen].push_back(static_cast<uint32_t>(found));
    }
  }
  if (!text_seen) fail_unsupported(name, "a template for single texts without the text");
  parts.prefix = std::move(sides[0]);
  parts.suffix = std::move(sides[1]);
  checked_range(std::max(parts.prefix.size(), parts.suffix.size()), 0, image::kMaxAffixTokens,
                where + " tokens");
}

}  // namespace

void read_post_processor(const Json& tokenizer, std::string_view name, TokenizerParts& parts) {
  bool template_seen = false;
  const JsonSlot slot{"post_processor", "processors", "post-processor"};
  for (const JsonComponent& component : read_slot(tokenizer, slot, name)) {
    if (component.type() == "ByteLevel") continue;  // only moves offsets
    if (component.type() != "TemplateProcessing") component.refuse();
    if (std::exchange(template_seen, true)) component.refuse("a second template");
    read_template(component.json(), name, parts);
  }
}

}  // namespace mica
