// Cuts a text into the pieces that the model tokenizes one by one: the pre-tokenizer steps of a
// tokenizer.json, in order. Immutable after construction.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "lib/base/function_ref.h"
#include "lib/text/image_view.h"
#include "lib/text/split_pattern.h"

namespace mica {

class PreTokenizer {
 public:
  explicit PreTokenizer(std::string_view name) : name_(name) {}

  // Takes the component as the next step. `component.text` must outlive this object.
  void add(const ComponentView& component);

  // Calls `sink` with each piece, in order; a piece is valid during the call only. `at_start`: the
  // text is the beginning of the whole one.
  void split(std::string_view text, bool at_start, MatchScratch& scratch,
             FunctionRef<void(std::string_view)> sink) const {
    run(0, text, at_start, scratch, sink);
  }

  // Compiles every pattern: throws Error(kUnsupported) for one that cannot be run.
  void check_patterns() const;

 private:
  struct Step {
    ComponentView component;
    std::unique_ptr<SplitPattern> pattern;
  };
  using RangeSink = FunctionRef<void(TextSpan, bool)>;

  void run(size_t index, std::string_view piece, bool at_start, MatchScratch& scratch,
           FunctionRef<void(std::string_view)> sink) const;
  static void find_ranges(const Step& step, std::string_view piece, MatchScratch& scratch,
                          RangeSink sink);

  std::string name_;
  std::vector<Step> steps_;
};

}  // namespace mica
