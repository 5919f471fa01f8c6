// Normalizers, pre-tokenizers, decoders and post-processors of a tokenizer.json.
#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::ComponentKind;
using image::SplitBehavior;

// The pattern of the ByteLevel pre-tokenizer, fixed by GPT-2.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

[[noreturn]] void fail_unsupported(std::string_view name, std::string_view what) {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {} is not supported", name, what));
}

bool flag_of(const Json& object, std::string_view key, bool otherwise, std::string_view name) {
  const Json* value = object.find(key);
  return value ? value->as_bool(fmt::format("{}: {}", name, key)) : otherwise;
}

// The components of a slot ("normalizer"), Sequences taken apart.
class Flattened {
 public:
  Flattened(const Json& slot, std::string_view slot_name, std::string_view list_key,
            std::string_view name)
      : slot_name_(slot_name), list_key_(list_key), name_(name) {
    if (!slot.is_null()) add(slot);
  }

  const std::vector<std::pair<std::string, const Json*>>& items() const { return items_; }
  [[noreturn]] void fail(std::string_view type) const {
    fail_unsupported(name_, fmt::format("the {} '{}'", slot_name_, type));
  }

 private:
  void add(const Json& component) {
    const std::string where = fmt::format("{}: {}", name_, slot_name_);
    component.as_object(where);
    const std::string& type = component["type"].as_string(where + " type");
    if (type == "Sequence") {
      for (const Json& part : component[list_key_].as_array(where + " " + std::string(list_key_))) {
        add(part);
      }
      return;
    }
    if (items_.size() == image::kMaxComponents / 4) {
      fail_unsupported(name_, fmt::format("a {} of more than {} parts", slot_name_, items_.size()));
    }
    items_.emplace_back(type, &component);
  }

  std::string_view slot_name_, list_key_, name_;
  std::vector<std::pair<std::string, const Json*>> items_;
};

ComponentPart read_split(const Json& split, std::string_view name) {
  static constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const std::string& behavior =
      split["behavior"].as_string(fmt::format("{}: Split behavior", name));
  const auto known =
      std::ranges::find(kBehaviors, behavior, [](const auto& pair) { return pair.first; });
  if (known == std::end(kBehaviors)) {
    fail_unsupported(name, fmt::format("the Split behavior '{}'", behavior));
  }
  const std::string where = fmt::format("{}: Split pattern", name);
  const Json::Object& pattern = split["pattern"].as_object(where);
  const bool is_regex = pattern.size() == 1 && pattern[0].first == "Regex";
  if (!is_regex && !(pattern.size() == 1 && pattern[0].first == "String")) {
    fail_unsupported(name, "a Split pattern other than 'Regex' and 'String'");
  }
  const std::string& text = pattern[0].second.as_string(where);
  if (text.empty()) fail_unsupported(name, "an empty Split pattern");
  return {.kind = is_regex ? ComponentKind::kSplitRegex : ComponentKind::kSplitString,
          .behavior = known->second,
          .flags = flag_of(split, "invert", false, name) ? image::kInvert : 0u,
          .text = text};
}

ComponentPart read_pre_tokenizer(const std::string& type, const Json& part, const Flattened& all,
                                 std::string_view name) {
  if (type == "Split") return read_split(part, name);
  if (type == "Digits") {
    const bool individual = flag_of(part, "individual_digits", false, name);
    return {.kind = ComponentKind::kDigits,
            .behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
            .text = ""};
  }
  if (type == "ByteLevel") {
    return {.kind = ComponentKind::kByteLevelSplit,
            .flags = flag_of(part, "add_prefix_space", true, name) ? image::kAddPrefixSpace : 0u,
            .text = flag_of(part, "use_regex", true, name) ? kGpt2Pattern : ""};
  }
  all.fail(type);
}

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

void read_components(const Json& tokenizer, std::string_view name, TokenizerParts& parts) {
  const Flattened normalizers(tokenizer["normalizer"], "normalizer", "normalizers", name);
  for (const auto& [type, part] : normalizers.items()) {
    if (type != "NFC") normalizers.fail(type);
    if (parts.normalizers.empty())
      parts.normalizers.push_back({.kind = ComponentKind::kNfc, .text = ""});
  }

  const Flattened splits(tokenizer["pre_tokenizer"], "pre-tokenizer", "pretokenizers", name);
  for (const auto& [type, part] : splits.items()) {
    if (!parts.splits.empty() && parts.splits.back().kind == ComponentKind::kByteLevelSplit) {
      fail_unsupported(name, fmt::format("the pre-tokenizer '{}' after 'ByteLevel'", type));
    }
    parts.splits.push_back(read_pre_tokenizer(type, *part, splits, name));
  }
  if (parts.splits.empty() || parts.splits.back().kind != ComponentKind::kByteLevelSplit) {
    fail_unsupported(name, "a BPE model without the pre-tokenizer 'ByteLevel'");
  }

  const Flattened decoders(tokenizer["decoder"], "decoder", "decoders", name);
  for (const auto& [type, part] : decoders.items()) {
    if (type != "ByteLevel" || !parts.decoders.empty()) decoders.fail(type);
    parts.decoders.push_back({.kind = ComponentKind::kByteLevelDecode, .text = ""});
  }
  if (parts.decoders.empty()) fail_unsupported(name, "a BPE model without the decoder 'ByteLevel'");
}

void read_post_processor(const Json& processor, std::string_view name, TokenizerParts& parts) {
  const Flattened processors(processor, "post-processor", "processors", name);
  bool template_seen = false;
  for (const auto& [type, part] : processors.items()) {
    if (type == "ByteLevel") continue;  // only moves offsets
    if (type != "TemplateProcessing" || std::exchange(template_seen, true)) processors.fail(type);
    read_template(*part, name, parts);
  }
}

}  // namespace mica
