#include "lib/text/normalizer.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/graphemes.h"
#include "lib/text/nfc.h"
#include "lib/text/text_edit.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

using image::ComponentKind;

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581, SentencePiece's space
// Grapheme clusters of more bytes are mapped character by character only.
constexpr size_t kLongestMappedCluster = 5;

std::optional<std::string> replace_string(std::string_view text, std::string_view what,
                                          std::string_view with, std::vector<TextSpan>& spans) {
  TextEdit edit(text, spans);
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += what.size()) {
    edit.replace(at, at + what.size(), with);
  }
  return edit.finish();
}

std::optional<std::string> replace_regex(std::string_view text, const SplitPattern& pattern,
                                         std::string_view with, MatchScratch& scratch,
                                         std::vector<TextSpan>& spans) {
  TextEdit edit(text, spans);
  for (size_t from = 0; from < text.size();) {
    const std::optional<TextSpan> match = scratch.find(pattern, text, from);
    if (!match) break;
    from = match->end;
    if (match->begin < match->end)
      edit.replace(match->begin, match->end, with);
    else if (from < text.size())
      from += static_cast<size_t>(decode_utf8(text, from).bytes);
  }
  return edit.finish();
}

std::optional<std::string> strip(std::string_view text, uint32_t flags,
                                 std::vector<TextSpan>& spans) {
  size_t begin = 0, end = text.size();
  while (flags & image::kTrimLeft && begin < end) {
    const CodePoint point = decode_utf8(text, begin);
    if (!is_white_space(point.value)) break;
    begin += static_cast<size_t>(point.bytes);
  }
  while (flags & image::kTrimRight && begin < end) {
    size_t before = end - 1;
    while (before > begin && (static_cast<uint8_t>(text[before]) & 0xc0) == 0x80) --before;
    if (!is_white_space(decode_utf8(text, before).value)) break;
    end = before;
  }
  TextEdit edit(text, spans);
  if (begin > 0) edit.replace(0, begin, "");
  if (end < text.size()) edit.replace(end, text.size(), "");
  return edit.finish();
}

}  // namespace

void Normalizer::add(const ComponentView& component) {
  Step step{component, nullptr, {}};
  switch (component.kind) {
    case ComponentKind::kReplaceRegex:
      step.pattern = std::make_unique<SplitPattern>(std::string(component.pattern()), name_);
      [[fallthrough]];
    case ComponentKind::kReplaceString:
      if (component.pattern().empty()) fail("the text to be replaced is empty");
      [[fallthrough]];
    case ComponentKind::kPrepend:
      if (find_invalid_utf8(component.text) != kValid) fail("a replacement is not UTF-8");
      break;
    case ComponentKind::kPrecompiled:
      step.charsmap = Charsmap(as_bytes(component.text), name_);
      break;
    case ComponentKind::kSentencePiece:
      if (!component.text.empty()) step.charsmap = Charsmap(as_bytes(component.text), name_);
      break;
    case ComponentKind::kNfc:
    case ComponentKind::kStrip:
      break;
    default:
      fail_unknown_component(component.kind, name_);
  }
  steps_.push_back(std::move(step));
}

std::optional<std::string> Normalizer::run(std::string_view text, MatchScratch& scratch,
                                           std::vector<TextSpan>& spans) const {
  std::optional<std::string> result;
  for (const Step& step : steps_) {
    if (Result changed = run_step(step, result ? *result : text, scratch, spans)) {
      result = std::move(changed);
    }
  }
  return result;
}

std::optional<std::string> Normalizer::run_step(const Step& step, std::string_view text,
                                                MatchScratch& scratch, Spans& spans) const {
  const ComponentView& component = step.component;
  switch (component.kind) {
    case ComponentKind::kNfc:
      return to_nfc(text, spans);
    case ComponentKind::kPrepend: {
      TextEdit edit(text, spans);
      if (!text.empty()) edit.replace(0, 0, component.text);
      return edit.finish();
    }
    case ComponentKind::kReplaceString:
      return replace_string(text, component.pattern(), component.replacement(), spans);
    case ComponentKind::kReplaceRegex:
      return replace_regex(text, *step.pattern, component.replacement(), scratch, spans);
    case ComponentKind::kStrip:
      return strip(text, component.flags, spans);
    case ComponentKind::kPrecompiled:
      return run_precompiled(step, text, spans);
    case ComponentKind::kSentencePiece:
      return run_sentencepiece(step, text, spans);
    default:
      return std::nullopt;  // add() lets no other in
  }
}

// As `tokenizers` does it: a whole cluster of characters becomes the text of its shortest beginning
// that has one, or else each of its characters does.
std::optional<std::string> Normalizer::run_precompiled(const Step& step, std::string_view text,
                                                       Spans& spans) const {
  TextEdit edit(text, spans);
  Graphemes graphemes(text);
  size_t begin = 0;
  for (std::string_view cluster; !(cluster = graphemes.next()).empty(); begin += cluster.size()) {
    if (cluster.size() <= kLongestMappedCluster) {
      if (const auto match = step.charsmap.shortest(cluster)) {
        edit.replace(begin, begin + cluster.size(), match->with);
        continue;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      const auto bytes = static_cast<size_t>(decode_utf8(cluster, at).bytes);
      if (const auto match = step.charsmap.shortest(cluster.substr(at, bytes))) {
        edit.replace(begin + at, begin + at + bytes, match->with);
      }
      at += bytes;
    }
  }
  Result result = edit.finish();
  if (result && find_invalid_utf8(*result) != kValid) fail("a text of the charsmap is not UTF-8");
  return result;
}

// As SentencePiece does it: the longest entries, then spaces marked, and left out where they
// repeat.
std::optional<std::string> Normalizer::run_sentencepiece(const Step& step, std::string_view text,
                                                         Spans& spans) const {
  const bool remove_extra = step.component.flags & image::kRemoveExtraSpaces;
  const auto map_at = [&](size_t at) {
    if (const size_t bytes = kept_ ? kept_->length_at(text, at) : 0) {
      return Charsmap::Match{bytes, text.substr(at, bytes)};
    }
    if (const auto match = step.charsmap.longest(text.substr(at))) return *match;
    const auto bytes = static_cast<size_t>(std::max(1, decode_utf8(text, at).bytes));
    return Charsmap::Match{bytes, text.substr(at, bytes)};
  };
  TextEdit edit(text, spans);
  size_t at = 0;
  while (remove_extra && at < text.size()) {
    const Charsmap::Match match = map_at(at);
    if (match.with != " ") break;
    at += match.bytes;
  }
  const bool prefix = step.component.flags & image::kAddPrefixSpace && at < text.size();
  if (at > 0 || prefix) edit.replace(0, at, prefix ? kSpaceMark : "");
  bool after_space = remove_extra;
  for (std::string marked; at < text.size();) {
    const Charsmap::Match match = map_at(at);
    std::string_view with = match.with;
    while (after_space && with.starts_with(' ')) with.remove_prefix(1);
    if (!with.empty()) after_space = remove_extra && with.ends_with(' ');
    if (with.find(' ') != with.npos) {
      marked.clear();
      for (const char byte : with) byte == ' ' ? marked += kSpaceMark : marked += byte;
      with = marked;
    }
    if (with != text.substr(at, match.bytes)) edit.replace(at, at + match.bytes, with);
    at += match.bytes;
  }
  Result result = edit.finish();
  if (result && find_invalid_utf8(*result) != kValid) fail("a text of the charsmap is not UTF-8");
  if (!remove_extra) return result;
  const std::string whole = result ? std::move(*result) : std::string(text);
  size_t end = whole.size();
  while (std::string_view(whole).substr(0, end).ends_with(kSpaceMark)) end -= kSpaceMark.size();
  TextEdit tail(whole, spans);
  if (end < whole.size()) tail.replace(end, whole.size(), "");
  Result cut = tail.finish();
  return cut ? std::move(cut) : Result(whole);
}

void Normalizer::check_patterns() const {
  for (const Step& step : steps_) {
    if (!step.pattern) continue;
    step.pattern->code(UnicodeReach::kKnown);
    step.pattern->code(UnicodeReach::kNewer);
  }
}

void Normalizer::fail(std::string_view what) const {
  throw Error(ErrorCode::kInvalidFile, fmt::format("{}: {}", name_, what));
}

}  // namespace mica
