// The decoders of a tokenizer.json.
#include <fmt/format.h>

#include "lib/base/checked.h"
#include "lib/text/json_slot.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::ComponentKind;

// Steps on single tokens, then bytes, then all of the text: what a text that comes token by token
// can be put through.
enum Stage { kTokens, kBytes, kFused, kStripped };

class DecoderReader {
 public:
  explicit DecoderReader(TokenizerParts& parts) : parts_(parts) {}

  void read(const JsonComponent& component) {
    const std::string& type = component.type();
    if (type == "ByteLevel") {
      if (!parts_.decoders.empty()) component.refuse("a step after another");
      return add(component, kStripped, {.kind = ComponentKind::kByteLevelDecode});
    }
    if (type == "Replace") {
      const auto [pattern, is_regex] = component.pattern();
      if (is_regex) component.refuse("a 'Regex'");
      return add(component, kTokens,
                 {.kind = ComponentKind::kReplaceDecode,
                  .text = pattern + component.text("content"),
                  .pattern_bytes = checked_cast<uint32_t>(pattern.size(), "pattern")});
    }
    if (type == "Metaspace") return read_metaspace(component);
    if (type == "ByteFallback") {
      return add(component, kBytes, {.kind = ComponentKind::kByteFallbackDecode});
    }
    if (type == "Fuse") return reach(component, kFused);
    if (type == "Strip") return read_strip(component);
    component.refuse();
  }

 private:
  void reach(const JsonComponent& component, Stage stage) {
    if (stage < stage_) component.refuse("this place in the sequence");
    stage_ = stage;
  }

  void add(const JsonComponent& component, Stage stage, ComponentPart part) {
    reach(component, stage);
    parts_.decoders.push_back(std::move(part));
  }

  void read_metaspace(const JsonComponent& component) {
    const Json& scheme = component.json()["prepend_scheme"];
    const bool drops = scheme.is_null() ? component.flag("add_prefix_space", true)
                                        : component.text("prepend_scheme") != "never";
    add(component, kTokens,
        {.kind = ComponentKind::kMetaspaceDecode,
         .flags = drops ? image::kAddPrefixSpace : 0u,
         .text = read_character(component, "replacement")});
  }

  void read_strip(const JsonComponent& component) {
    if (component.count("stop", 0) != 0) component.refuse("a 'stop' other than 0");
    const uint64_t count = component.count("start", 0);
    if (stage_ != kFused) component.refuse("a place that is not behind 'Fuse'");
    add(component, kStripped,
        {.kind = ComponentKind::kStripDecode,
         .flags = checked_cast<uint32_t>(count, "start"),
         .text = read_character(component, "content")});
  }

  TokenizerParts& parts_;
  Stage stage_ = kTokens;
};

}  // namespace

void read_decoders(const Json& tokenizer, std::string_view name, TokenizerParts& parts) {
  DecoderReader reader(parts);
  const JsonSlot slot{"decoder", "decoders", "decoder"};
  for (const JsonComponent& component : read_slot(tokenizer, slot, name)) reader.read(component);
}

}  // namespace mica
