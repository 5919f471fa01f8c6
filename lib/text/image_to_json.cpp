#include "lib/text/image_to_json.h"

#include <algorithm>
#include <limits>
#include <map>

#include "lib/base/base64.h"
#include "lib/text/byte_chars.h"
#include "lib/text/image_view.h"

namespace mica {
namespace {

using image::ComponentKind;
using image::Section;

constexpr const char* kSpaceMark = "\xe2\x96\x81";  // U+2581

Json typed(const char* type) {
  return Json::object({{"type", type}});
}

Json pattern_json(std::string_view pattern, bool is_regex) {
  return Json::object({{is_regex ? "Regex" : "String", pattern}});
}

Json replace_json(std::string_view pattern, bool is_regex, std::string_view content) {
  return Json::object(
      {{"type", "Replace"}, {"pattern", pattern_json(pattern, is_regex)}, {"content", content}});
}

const char* behavior_name(image::SplitBehavior behavior) {
  static constexpr const char* kNames[] = {"Isolated", "Removed", "MergedWithPrevious",
                                           "MergedWithNext", "Contiguous"};
  return kNames[static_cast<size_t>(behavior)];  // in range: ImageView has looked
}

// A slot of a tokenizer.json: none, one, or a sequence of steps.
Json slot_json(Json::Array steps, const char* list_key) {
  if (steps.empty()) return {};
  if (steps.size() == 1) return std::move(steps[0]);
  return Json::object({{"type", "Sequence"}, {list_key, Json(std::move(steps))}});
}

class ImageToJson {
 public:
  ImageToJson(Bytes image, std::string_view name) : view_(image, name) {}

  Json write() {
    for (const ComponentView& component : view_.components()) add_step(component);
    if (decoders_.empty()) decoders_.push_back(typed("Fuse"));
    return Json::object({{"version", "1.0"},
                         {"truncation", nullptr},
                         {"padding", nullptr},
                         {"added_tokens", added_tokens()},
                         {"normalizer", slot_json(std::move(normalizers_), "normalizers")},
                         {"pre_tokenizer", slot_json(std::move(splits_), "pretokenizers")},
                         {"post_processor", post_processor()},
                         {"decoder", slot_json(std::move(decoders_), "decoders")},
                         {"model", model()}});
  }

 private:
  bool is_by_bytes() const { return view_.model() == image::ModelKind::kByteLevelBpe; }

  std::string spelling(uint32_t id) const {
    const std::string_view bytes = view_.token_bytes(id);
    const bool verbatim = !is_by_bytes() || view_.token_flags(id) & image::kVerbatim;
    return verbatim ? std::string(bytes) : spell_bytes(bytes);
  }

  // In the order of their ids, as tokenizers numbers them.
  Json added_tokens() const {
    std::map<uint32_t, Json> by_id;
    for (const Section list : {Section::kAddedRaw, Section::kAddedNormalized}) {
      const bool normalized = list == Section::kAddedNormalized;
      for (uint64_t i = 0; i < view_.added_count(list); ++i) {
        const AddedToken token = view_.added(list, i);
        const uint8_t flags = view_.token_flags(token.id);
        // What is matched in normalized text is listed as that; the model keeps the spelling.
        const bool keeps = normalized && flags & image::kInModel && !is_by_bytes();
        by_id[token.id] =
            Json::object({{"id", token.id},
                          {"content", keeps ? spelling(token.id) : std::string(token.text)},
                          {"single_word", (token.flags & image::kSingleWord) != 0},
                          {"lstrip", (token.flags & image::kStripLeft) != 0},
                          {"rstrip", (token.flags & image::kStripRight) != 0},
                          {"normalized", normalized},
                          {"special", (flags & image::kSpecial) != 0}});
      }
    }
    Json added = Json::array();
    for (auto& [id, token] : by_id) added.push_back(std::move(token));
    return added;
  }

  void add_step(const ComponentView& c) {
    const auto kind = static_cast<uint32_t>(c.kind);
    if (kind < static_cast<uint32_t>(ComponentKind::kSplitRegex)) {
      add_normalizer(c);
    } else if (kind < static_cast<uint32_t>(ComponentKind::kByteLevelDecode)) {
      add_split(c);
    } else {
      add_decoder(c);
    }
  }

  void add_normalizer(const ComponentView& c) {
    switch (c.kind) {
      case ComponentKind::kNfc:
        normalizers_.push_back(typed("NFC"));
        return;
      case ComponentKind::kPrepend:
        normalizers_.push_back(Json::object({{"type", "Prepend"}, {"prepend", c.text}}));
        return;
      case ComponentKind::kReplaceString:
      case ComponentKind::kReplaceRegex:
        normalizers_.push_back(
            replace_json(c.pattern(), c.kind == ComponentKind::kReplaceRegex, c.replacement()));
        return;
      case ComponentKind::kStrip:
        normalizers_.push_back(
            strip_json((c.flags & image::kTrimLeft) != 0, (c.flags & image::kTrimRight) != 0));
        return;
      case ComponentKind::kPrecompiled:
        normalizers_.push_back(precompiled_json(c.text));
        return;
      case ComponentKind::kSentencePiece:
        return add_sentencepiece(c);
      default:
        fail_unknown_component(c.kind, view_.name());
    }
  }

  static Json strip_json(bool left, bool right) {
    return Json::object({{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}});
  }
  static Json precompiled_json(std::string_view charsmap) {
    return Json::object({{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(charsmap)}});
  }

  void add_sentencepiece(const ComponentView& c) {
    if (!c.text.empty()) normalizers_.push_back(precompiled_json(c.text));
    if (c.flags & image::kRemoveExtraSpaces) {
      normalizers_.push_back(strip_json(true, true));
      normalizers_.push_back(replace_json(" {2,}", true, " "));
    }
    if (c.flags & image::kAddPrefixSpace) {
      normalizers_.push_back(Json::object({{"type", "Prepend"}, {"prepend", kSpaceMark}}));
    }
    normalizers_.push_back(replace_json(" ", false, kSpaceMark));
  }

  void add_split(const ComponentView& c) {
    switch (c.kind) {
      case ComponentKind::kSplitRegex:
      case ComponentKind::kSplitString:
        splits_.push_back(
            Json::object({{"type", "Split"},
                          {"pattern", pattern_json(c.text, c.kind == ComponentKind::kSplitRegex)},
                          {"behavior", behavior_name(c.behavior)},
                          {"invert", (c.flags & image::kInvert) != 0}}));
        return;
      case ComponentKind::kDigits:
        splits_.push_back(
            Json::object({{"type", "Digits"},
                          {"individual_digits", c.behavior == image::SplitBehavior::kIsolated}}));
        return;
      case ComponentKind::kByteLevelSplit:
        splits_.push_back(
            byte_level_json((c.flags & image::kAddPrefixSpace) != 0, !c.text.empty()));
        return;
      case ComponentKind::kMetaspaceSplit:
        splits_.push_back(metaspace_json(c, (c.flags & image::kCut) != 0));
        return;
      case ComponentKind::kWordSplit:
        splits_.push_back(typed("Whitespace"));
        return;
      case ComponentKind::kWhiteSpaceSplit:
        splits_.push_back(typed("WhitespaceSplit"));
        return;
      case ComponentKind::kPunctuation:
        splits_.push_back(
            Json::object({{"type", "Punctuation"}, {"behavior", behavior_name(c.behavior)}}));
        return;
      case ComponentKind::kBeforeRuns:
        return;  // the builder's own, which changes nothing
      default:
        fail_unknown_component(c.kind, view_.name());
    }
  }

  static Json byte_level_json(bool adds_space, bool use_regex) {
    return Json::object({{"type", "ByteLevel"},
                         {"add_prefix_space", adds_space},
                         {"trim_offsets", true},
                         {"use_regex", use_regex}});
  }

  static Json metaspace_json(const ComponentView& c, bool split) {
    const bool adds = (c.flags & image::kAddPrefixSpace) != 0;
    const char* scheme = c.flags & image::kAtStartOnly ? "first" : "always";
    return Json::object({{"type", "Metaspace"},
                         {"replacement", c.text},
                         {"prepend_scheme", adds ? scheme : "never"},
                         {"split", split}});
  }

  void add_decoder(const ComponentView& c) {
    switch (c.kind) {
      case ComponentKind::kByteLevelDecode:
        decoders_.push_back(byte_level_json(true, true));
        return;
      case ComponentKind::kReplaceDecode:
        decoders_.push_back(replace_json(c.pattern(), false, c.replacement()));
        return;
      case ComponentKind::kMetaspaceDecode:
        decoders_.push_back(metaspace_json(c, true));
        return;
      case ComponentKind::kByteFallbackDecode:
        decoders_.push_back(typed("ByteFallback"));
        decoders_.push_back(typed("Fuse"));
        return;
      case ComponentKind::kStripDecode:
        if (decoders_.empty() || decoders_.back() != typed("Fuse")) {
          decoders_.push_back(typed("Fuse"));
        }
        decoders_.push_back(Json::object(
            {{"type", "Strip"}, {"content", c.text}, {"start", c.flags}, {"stop", 0}}));
        return;
      default:
        fail_unknown_component(c.kind, view_.name());
    }
  }

  Json post_processor() const {
    const std::vector<int32_t> prefix = view_.affix(Section::kPrefix);
    const std::vector<int32_t> suffix = view_.affix(Section::kSuffix);
    if (prefix.empty() && suffix.empty()) return {};
    Json single = Json::array(), pair = Json::array(), tokens = Json::object();
    const auto put = [&](const std::vector<int32_t>& ids, int type, Json& list) {
      for (const int32_t id : ids) {
        const std::string text = spelling(static_cast<uint32_t>(id));
        list.push_back(
            Json::object({{"SpecialToken", Json::object({{"id", text}, {"type_id", type}})}}));
        tokens[text] = Json::object({{"id", text},
                                     {"ids", Json(Json::Array{Json(id)})},
                                     {"tokens", Json(Json::Array{Json(text)})}});
      }
    };
    const auto put_text = [&](const char* which, int type, Json& list) {
      put(prefix, type, list);
      list.push_back(
          Json::object({{"Sequence", Json::object({{"id", which}, {"type_id", type}})}}));
      put(suffix, type, list);
    };
    put_text("A", 0, single);
    put_text("A", 0, pair);
    put_text("B", 1, pair);
    return Json::object({{"type", "TemplateProcessing"},
                         {"single", std::move(single)},
                         {"pair", std::move(pair)},
                         {"special_tokens", std::move(tokens)}});
  }

  bool has_byte_tokens() const {
    return !is_by_bytes() && std::ranges::any_of(view_.header().byte_tokens,
                                                 [](uint32_t id) { return id != image::kNone; });
  }
  bool is_in_model(uint32_t id) const {
    constexpr uint8_t kBoth = image::kPresent | image::kInModel;
    return (view_.token_flags(id) & kBoth) == kBoth;
  }

  Json model() const {
    return view_.model() == image::ModelKind::kUnigram ? unigram_model() : bpe_model();
  }

  Json bpe_model() const {
    const image::Header& header = view_.header();
    Json::Object vocabulary;
    for (uint32_t id = 0; id < view_.token_count(); ++id) {
      if (is_in_model(id)) vocabulary.emplace_back(spelling(id), id);
    }
    const bool has_unknown = header.unknown_token != image::kNone;
    return Json::object({{"type", "BPE"},
                         {"dropout", nullptr},
                         {"unk_token", has_unknown ? Json(spelling(header.unknown_token)) : Json()},
                         {"continuing_subword_prefix", nullptr},
                         {"end_of_word_suffix", nullptr},
                         {"fuse_unk", (header.model_flags & image::kFuseUnknown) != 0},
                         {"byte_fallback", has_byte_tokens()},
                         {"ignore_merges", (header.model_flags & image::kIgnoreMerges) != 0},
                         {"vocab", Json(std::move(vocabulary))},
                         {"merges", merges()}});
  }

  // "a b", or pairs of texts where some token has a space.
  Json merges() const {
    std::vector<image::MergeSlot> slots = view_.merges();
    std::ranges::sort(slots, {}, [](const image::MergeSlot& slot) {
      return std::tuple(slot.rank, slot.left, slot.right);
    });
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const image::MergeSlot& slot : slots) {
      pairs.emplace_back(spelling(slot.left), spelling(slot.right));
    }
    const bool has_spaces = std::ranges::any_of(pairs, [](const auto& pair) {
      return pair.first.find(' ') != std::string::npos ||
             pair.second.find(' ') != std::string::npos;
    });
    Json merges = Json::array();
    for (auto& [left, right] : pairs) {
      merges.push_back(has_spaces ? Json(Json::Array{Json(left), Json(right)})
                                  : Json(left + " " + right));
    }
    return merges;
  }

  bool is_in_trie(std::string_view bytes) const {
    bool found = false;
    view_.trie().prefixes(bytes, [&](size_t size, uint32_t) {
      found = size == bytes.size();
      return true;
    });
    return found;
  }

  // Tokens that no text becomes by itself have no score in the image: special ones are matched
  // before, the others get the least there is.
  Json unigram_model() const {
    double least = std::numeric_limits<double>::max();
    const uint32_t count = view_.token_count();
    std::vector<bool> matched(count);
    for (uint32_t id = 0; id < count && is_in_model(id); ++id) {
      matched[id] = is_in_trie(view_.token_bytes(id));
      if (matched[id]) least = std::min(least, view_.score(id));
    }
    Json vocabulary = Json::array();
    for (uint32_t id = 0; id < count && is_in_model(id); ++id) {
      const bool apart =
          view_.token_flags(id) & image::kSpecial || id == view_.header().unknown_token;
      const double score = matched[id] ? view_.score(id) : apart ? 0 : least;
      vocabulary.push_back(Json(Json::Array{Json(spelling(id)), Json(score)}));
    }
    return Json::object({{"type", "Unigram"},
                         {"unk_id", view_.header().unknown_token},
                         {"vocab", std::move(vocabulary)},
                         {"byte_fallback", has_byte_tokens()}});
  }

  ImageView view_;
  Json::Array normalizers_, splits_, decoders_;
};

}  // namespace

Json tokenizer_json_of_image(Bytes image, std::string_view name) {
  return ImageToJson(image, name).write();
}

}  // namespace mica
