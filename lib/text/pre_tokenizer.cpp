#include "lib/text/pre_tokenizer.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <string>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

using image::ComponentKind;
using image::SplitBehavior;
using RangeSink = FunctionRef<void(TextSpan, bool)>;

// Gives out matches and what lies between them. An empty match right after another does not count.
void regex_ranges(const SplitPattern& pattern, std::string_view piece, MatchScratch& scratch,
                  RangeSink sink) {
  size_t from = 0, written = 0;
  bool any = false;
  while (from <= piece.size()) {
    const std::optional<TextSpan> match = scratch.find(pattern, piece, from);
    if (!match) break;
    if (match->begin == match->end && any && match->end == written) {
      const int step = decode_utf8(piece, from).bytes;
      from += static_cast<size_t>(step > 0 ? step : 1);
      continue;
    }
    if (written < match->begin) sink({written, match->begin}, false);
    sink(*match, true);
    from = written = match->end;
    any = true;
  }
  if (written < piece.size()) sink({written, piece.size()}, false);
}

void string_ranges(std::string_view delimiter, std::string_view piece, RangeSink sink) {
  size_t written = 0;
  for (size_t at; (at = piece.find(delimiter, written)) != piece.npos;) {
    if (written < at) sink({written, at}, false);
    written = at + delimiter.size();
    sink({at, written}, true);
  }
  if (written < piece.size()) sink({written, piece.size()}, false);
}

// Each character that `is_match` likes is a match of its own.
template <class Predicate>
void character_ranges(std::string_view piece, Predicate is_match, RangeSink sink) {
  size_t written = 0;
  for (size_t offset = 0; offset < piece.size();) {
    const uint8_t lead = static_cast<uint8_t>(piece[offset]);
    const CodePoint point = lead < 0x80 ? CodePoint{lead, 1} : decode_utf8(piece, offset);
    const size_t end = offset + static_cast<size_t>(point.bytes > 0 ? point.bytes : 1);
    if (is_match(point.value)) {
      if (written < offset) sink({written, offset}, false);
      sink({offset, end}, true);
      written = end;
    }
    offset = end;
  }
  if (written < piece.size()) sink({written, piece.size()}, false);
}

// Words and runs of other characters; white space between them is a match.
void word_ranges(std::string_view piece, RangeSink sink) {
  enum class Kind { kSpace, kWord, kOther };
  const auto kind_of = [](char32_t point) {
    if (is_white_space(point)) return Kind::kSpace;
    return is_word_character(point) ? Kind::kWord : Kind::kOther;
  };
  size_t begin = 0;
  Kind kind = Kind::kSpace;
  for (size_t offset = 0; offset < piece.size();) {
    const CodePoint point = decode_utf8(piece, offset);
    const Kind next = kind_of(point.value);
    if (next != kind && begin < offset) {
      sink({begin, offset}, kind == Kind::kSpace);
      begin = offset;
    }
    kind = next;
    offset += static_cast<size_t>(point.bytes > 0 ? point.bytes : 1);
  }
  if (begin < piece.size()) sink({begin, piece.size()}, kind == Kind::kSpace);
}

// Cuts before each run of `mark`.
void run_ranges(std::string_view mark, std::string_view piece, RangeSink sink) {
  size_t begin = 0;
  for (size_t at = 0; (at = piece.find(mark, at)) != piece.npos;) {
    if (begin < at) sink({begin, at}, false);
    begin = at;
    while (piece.substr(at).starts_with(mark)) at += mark.size();
  }
  if (begin < piece.size()) sink({begin, piece.size()}, false);
}

// The piece with `mark` for each space, and before it where the step wants that.
std::string mark_spaces(const ComponentView& step, std::string_view piece, bool at_start) {
  const std::string_view mark = step.text;
  std::string marked;
  marked.reserve(piece.size() + piece.size() / 2);
  const bool prefix =
      step.flags & image::kAddPrefixSpace && (at_start || !(step.flags & image::kAtStartOnly));
  if (prefix && !piece.starts_with(' ') && !piece.starts_with(mark)) marked += mark;
  for (size_t written = 0; written < piece.size();) {
    const size_t space = std::min(piece.find(' ', written), piece.size());
    marked += piece.substr(written, space - written);
    if (space < piece.size()) marked += mark;
    written = space + 1;
  }
  return marked;
}

// Joins ranges as the behavior wants it.
class RangeJoiner {
 public:
  RangeJoiner(SplitBehavior behavior, FunctionRef<void(TextSpan)> sink)
      : behavior_(behavior), sink_(sink) {}

  void add(TextSpan range, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::kIsolated:
        sink_(range);
        break;
      case SplitBehavior::kRemoved:
        if (!is_match) sink_(range);
        break;
      case SplitBehavior::kContiguous:
        extend_or_hold(range, is_match == previous_);
        break;
      case SplitBehavior::kMergedWithPrevious:
        extend_or_hold(range, is_match && !previous_);
        break;
      case SplitBehavior::kMergedWithNext:
        extend_or_hold(range, !is_match);
        if (!is_match) finish();
        break;
    }
    previous_ = is_match;
  }

  void finish() {
    if (held_) sink_(*held_);
    held_.reset();
  }

 private:
  void extend_or_hold(TextSpan range, bool extend) {
    if (extend && held_) {
      held_->end = range.end;
      return;
    }
    finish();
    held_ = range;
  }

  SplitBehavior behavior_;
  FunctionRef<void(TextSpan)> sink_;
  std::optional<TextSpan> held_;
  bool previous_ = false;
};

}  // namespace

void PreTokenizer::add(const ComponentView& component) {
  if (component.kind < ComponentKind::kSplitRegex || component.kind > ComponentKind::kBeforeRuns) {
    fail_unknown_component(component.kind, name_);
  }
  const bool is_pattern =
      component.kind == ComponentKind::kSplitRegex ||
      (component.kind == ComponentKind::kByteLevelSplit && !component.text.empty());
  const bool is_string = component.kind == ComponentKind::kSplitString ||
                         component.kind == ComponentKind::kMetaspaceSplit ||
                         component.kind == ComponentKind::kBeforeRuns;
  if (is_string && component.text.empty()) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: a split string is empty, expected a character at least", name_));
  }
  if (find_invalid_utf8(component.text) != kValid) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: a split string or pattern is not UTF-8", name_));
  }
  steps_.push_back(
      {component,
       is_pattern ? std::make_unique<SplitPattern>(std::string(component.text), name_) : nullptr});
}

void PreTokenizer::check_patterns() const {
  for (const Step& step : steps_) {
    if (!step.pattern) continue;
    step.pattern->code(UnicodeReach::kKnown);
    step.pattern->code(UnicodeReach::kNewer);
  }
}

void PreTokenizer::find_ranges(const Step& step, std::string_view piece, MatchScratch& scratch,
                               RangeSink sink) {
  if (step.pattern) return regex_ranges(*step.pattern, piece, scratch, sink);
  const ComponentView& component = step.component;
  switch (component.kind) {
    case ComponentKind::kSplitString:
      return string_ranges(component.text, piece, sink);
    case ComponentKind::kDigits:
      return character_ranges(piece, is_numeric, sink);
    case ComponentKind::kPunctuation:
      return character_ranges(piece, is_punctuation, sink);
    case ComponentKind::kWhiteSpaceSplit:
      return character_ranges(piece, is_white_space, sink);
    case ComponentKind::kWordSplit:
      return word_ranges(piece, sink);
    case ComponentKind::kBeforeRuns:
      return run_ranges(component.text, piece, sink);
    case ComponentKind::kMetaspaceSplit:
      if (component.flags & image::kCut) return string_ranges(component.text, piece, sink);
      [[fallthrough]];
    default:
      return sink({0, piece.size()}, false);  // ByteLevel without a pattern
  }
}

void PreTokenizer::run(size_t index, std::string_view piece, bool at_start, MatchScratch& scratch,
                       FunctionRef<void(std::string_view)> sink) const {
  if (piece.empty()) return;
  if (index == steps_.size()) return sink(piece);
  const Step& step = steps_[index];
  std::string changed;
  if (step.component.kind == ComponentKind::kMetaspaceSplit) {
    changed = mark_spaces(step.component, piece, at_start);
    piece = changed;
  } else if (step.component.flags & image::kAddPrefixSpace && piece.front() != ' ') {
    changed.append(" ").append(piece);
    piece = changed;
  }
  const auto next = [&](TextSpan range) {
    run(index + 1, piece.substr(range.begin, range.end - range.begin), at_start && range.begin == 0,
        scratch, sink);
  };
  const bool invert = step.component.flags & image::kInvert;
  RangeJoiner joiner(step.component.behavior, next);
  find_ranges(step, piece, scratch,
              [&](TextSpan range, bool is_match) { joiner.add(range, is_match != invert); });
  joiner.finish();
}

}  // namespace mica
