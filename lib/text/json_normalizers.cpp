// The normalizers of a tokenizer.json.
#include "lib/base/base64.h"
#include "lib/base/checked.h"
#include "lib/text/charsmap.h"
#include "lib/text/json_slot.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::ComponentKind;

std::string read_charsmap(const JsonComponent& component) {
  std::optional<std::string> blob = from_base64(component.text("precompiled_charsmap"));
  if (!blob) component.fail("expected a precompiled_charsmap in base64, found other text");
  return std::move(*blob);
}

ComponentPart read_replace(const JsonComponent& component) {
  const auto [pattern, is_regex] = component.pattern();
  return {.kind = is_regex ? ComponentKind::kReplaceRegex : ComponentKind::kReplaceString,
          .text = pattern + component.text("content"),
          .pattern_bytes = checked_cast<uint32_t>(pattern.size(), "pattern")};
}

ComponentPart read_normalizer(const JsonComponent& component) {
  const std::string& type = component.type();
  if (type == "NFC") return {.kind = ComponentKind::kNfc};
  if (type == "Prepend")
    return {.kind = ComponentKind::kPrepend, .text = component.text("prepend")};
  if (type == "Replace") return read_replace(component);
  if (type == "Strip") {
    return {.kind = ComponentKind::kStrip,
            .flags = (component.flag("strip_left", false) ? image::kTrimLeft : 0u) |
                     (component.flag("strip_right", false) ? image::kTrimRight : 0u)};
  }
  if (type == "Precompiled") {
    return {.kind = ComponentKind::kPrecompiled, .text = read_charsmap(component)};
  }
  if (type == "SentencePiece") {
    return {.kind = ComponentKind::kSentencePiece,
            .flags =
                (component.flag("add_dummy_prefix", true) ? image::kAddPrefixSpace : 0u) |
                (component.flag("remove_extra_whitespaces", true) ? image::kRemoveExtraSpaces : 0u),
            .text = read_charsmap(component)};
  }
  component.refuse();
}

}  // namespace

void read_normalizers(const Json& tokenizer, std::string_view name, TokenizerParts& parts) {
  const JsonSlot slot{"normalizer", "normalizers", "normalizer"};
  for (const JsonComponent& component : read_slot(tokenizer, slot, name)) {
    parts.normalizers.push_back(read_normalizer(component));
  }
}

}  // namespace mica
