// The pre-tokenizers of a tokenizer.json.
#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "lib/text/json_slot.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::ComponentKind;
using image::SplitBehavior;

// The pattern of the ByteLevel pre-tokenizer, fixed by GPT-2.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

SplitBehavior read_behavior(const JsonComponent& component, const std::string& behavior) {
  static constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const auto known =
      std::ranges::find(kBehaviors, behavior, [](const auto& pair) { return pair.first; });
  if (known == std::end(kBehaviors)) component.refuse(fmt::format("the behavior '{}'", behavior));
  return known->second;
}

ComponentPart read_split(const JsonComponent& component) {
  const auto [pattern, is_regex] = component.pattern();
  return {.kind = is_regex ? ComponentKind::kSplitRegex : ComponentKind::kSplitString,
          .behavior = read_behavior(component, component.text("behavior")),
          .flags = component.flag("invert", false) ? image::kInvert : 0u,
          .text = pattern};
}

// "prepend_scheme" is newer than "add_prefix_space".
uint32_t prefix_flags(const JsonComponent& component) {
  if (component.json()["prepend_scheme"].is_null()) {
    return component.flag("add_prefix_space", true) ? image::kAddPrefixSpace : 0u;
  }
  const std::string& scheme = component.text("prepend_scheme");
  if (scheme == "always") return image::kAddPrefixSpace;
  if (scheme == "first") return image::kAddPrefixSpace | image::kAtStartOnly;
  if (scheme == "never") return 0;
  component.refuse(fmt::format("the prepend_scheme '{}'", scheme));
}

ComponentPart read_metaspace(const JsonComponent& component) {
  return {.kind = ComponentKind::kMetaspaceSplit,
          .behavior = SplitBehavior::kMergedWithNext,
          .flags = prefix_flags(component) | (component.flag("split", true) ? image::kCut : 0u),
          .text = read_character(component, "replacement")};
}

ComponentPart read_pre_tokenizer(const JsonComponent& component) {
  const std::string& type = component.type();
  if (type == "Split") return read_split(component);
  if (type == "Metaspace") return read_metaspace(component);
  if (type == "Digits") {
    const bool individual = component.flag("individual_digits", false);
    return {.kind = ComponentKind::kDigits,
            .behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous};
  }
  if (type == "Punctuation") {
    const bool named = !component.json()["behavior"].is_null();
    return {.kind = ComponentKind::kPunctuation,
            .behavior = named ? read_behavior(component, component.text("behavior"))
                              : SplitBehavior::kIsolated};
  }
  if (type == "Whitespace") {
    return {.kind = ComponentKind::kWordSplit, .behavior = SplitBehavior::kRemoved};
  }
  if (type == "WhitespaceSplit") {
    return {.kind = ComponentKind::kWhiteSpaceSplit, .behavior = SplitBehavior::kRemoved};
  }
  if (type == "ByteLevel") {
    return {.kind = ComponentKind::kByteLevelSplit,
            .flags = component.flag("add_prefix_space", true) ? image::kAddPrefixSpace : 0u,
            .text = component.flag("use_regex", true) ? kGpt2Pattern : ""};
  }
  component.refuse();
}

}  // namespace

void read_pre_tokenizers(const Json& tokenizer, std::string_view name, TokenizerParts& parts) {
  const JsonSlot slot{"pre_tokenizer", "pretokenizers", "pre-tokenizer"};
  for (const JsonComponent& component : read_slot(tokenizer, slot, name)) {
    if (parts.is_by_bytes()) component.refuse("a step after 'ByteLevel'");
    parts.splits.push_back(read_pre_tokenizer(component));
  }
}

}  // namespace mica
