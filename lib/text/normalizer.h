// Changes a text before it is cut: the normalizer steps of a tokenizer, in order. Immutable after
// construction; safe to share by threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/added_tokens.h"
#include "lib/text/charsmap.h"
#include "lib/text/image_view.h"
#include "lib/text/split_pattern.h"

namespace mica {

class Normalizer {
 public:
  // What `kept` finds is not mapped by a SentencePiece step; may be null, must outlive this object.
  Normalizer(std::string_view name, const AddedTokenMatcher* kept) : name_(name), kept_(kept) {}

  static bool is_step(image::ComponentKind kind) { return static_cast<uint32_t>(kind) < 16; }

  // Takes the component as the next step. `component.text` must outlive this object.
  void add(const ComponentView& component);

  // The normalized text, or nothing when `text` (valid UTF-8) stays as it is. `spans`, sorted
  // ranges of `text`, are moved along; an end that falls inside a changed range widens the span.
  std::optional<std::string> run(std::string_view text, MatchScratch& scratch,
                                 std::vector<TextSpan>& spans) const;

  // Compiles every pattern: throws Error(kUnsupported) for one that cannot be run.
  void check_patterns() const;

 private:
  struct Step {
    ComponentView component;
    std::unique_ptr<SplitPattern> pattern;
    Charsmap charsmap;
  };
  using Result = std::optional<std::string>;
  using Spans = std::vector<TextSpan>;

  Result run_step(const Step& step, std::string_view text, MatchScratch& scratch,
                  Spans& spans) const;
  Result run_precompiled(const Step& step, std::string_view text, Spans& spans) const;
  Result run_sentencepiece(const Step& step, std::string_view text, Spans& spans) const;
  [[noreturn]] void fail(std::string_view what) const;

  std::string name_;
  const AddedTokenMatcher* kept_;
  std::vector<Step> steps_;
};

}  // namespace mica
