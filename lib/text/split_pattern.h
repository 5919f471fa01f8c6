// A split pattern, compiled for PCRE2 on first use, and the scratch memory of its matches.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "lib/text/pattern_syntax.h"
#include "lib/text/text_span.h"

namespace mica {

// Immutable to its users; may be shared by threads.
class SplitPattern {
 public:
  // `name` begins the sentences of errors. Nothing is compiled yet.
  SplitPattern(std::string pattern, std::string name);
  ~SplitPattern();

  // Compiles for the reach unless that has been done. Throws Error(kUnsupported).
  const void* code(UnicodeReach reach) const;
  const std::string& name() const { return name_; }

 private:
  struct Compiled {
    std::once_flag once;
    void* code = nullptr;  // pcre2_code
  };

  std::string pattern_;
  std::string name_;
  mutable Compiled compiled_[2];  // by UnicodeReach
};

// One thread's memory for matching. The texts of one scratch must fit its reach.
class MatchScratch {
 public:
  explicit MatchScratch(UnicodeReach reach);
  ~MatchScratch();
  MatchScratch(const MatchScratch&) = delete;
  MatchScratch& operator=(const MatchScratch&) = delete;

  // The leftmost match at or after `from`. `text` is valid UTF-8. Throws Error(kUnsupported) for a
  // pattern that needs too many steps or too much memory.
  std::optional<TextSpan> find(const SplitPattern& pattern, std::string_view text, size_t from);

 private:
  struct State;
  int match(const void* code, std::string_view text, size_t from);

  std::unique_ptr<State> state_;
};

}  // namespace mica
