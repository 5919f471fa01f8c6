#define PCRE2_CODE_UNIT_WIDTH 8
#include "lib/text/split_pattern.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>
#include <new>
#include <pcre2.h>

#include "lib/base/error.h"

namespace mica {
namespace {

// A match of a text of n bytes may take kStepsAtLeast + kStepsPerByte * n steps. The patterns in
// use take a few a byte at worst (a run of spaces is tried by three alternatives).
constexpr uint64_t kStepsAtLeast = 1'000'000;
constexpr uint64_t kStepsPerByte = 64;
constexpr uint32_t kHeapKibibytes = 512 * 1024;
constexpr size_t kJitStackBytes = 64 << 20;  // reserved only when the first 32 KiB are not enough

template <class T>
T* must(T* pointer) {
  if (!pointer) throw std::bad_alloc();
  return pointer;
}

std::string reason(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

pcre2_code* compile(const std::string& source, const std::string& pattern,
                    const std::string& name) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      must(pcre2_compile_context_create(nullptr)), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get());
  if (error == PCRE2_ERROR_HEAP_FAILED) throw std::bad_alloc();
  if (!code) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the split pattern '{}' is not one PCRE2 can run: {}", name,
                            pattern, reason(error)));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it is forbidden, the interpreter runs
  return code;
}

}  // namespace

SplitPattern::SplitPattern(std::string pattern, std::string name)
    : pattern_(std::move(pattern)), name_(std::move(name)) {}

SplitPattern::~SplitPattern() {
  for (Compiled& compiled : compiled_) pcre2_code_free(static_cast<pcre2_code*>(compiled.code));
}

const void* SplitPattern::code(UnicodeReach reach) const {
  Compiled& compiled = compiled_[static_cast<size_t>(reach)];
  std::call_once(compiled.once, [&] {
    compiled.code = compile(translate_pattern(pattern_, reach, name_), pattern_, name_);
  });
  return compiled.code;
}

struct MatchScratch::State {
  UnicodeReach reach;
  pcre2_match_data* data = must(pcre2_match_data_create(1, nullptr));
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  size_t limit_is_for = std::numeric_limits<size_t>::max();

  explicit State(UnicodeReach r) : reach(r) {}
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }

  void set_limit(size_t text_bytes) {
    if (!context) {
      context = must(pcre2_match_context_create(nullptr));
      pcre2_set_heap_limit(context, kHeapKibibytes);
    }
    // Pieces are short and many: only a longer text moves the limit.
    if (limit_is_for != std::numeric_limits<size_t>::max() && text_bytes <= limit_is_for) return;
    const uint64_t steps = kStepsAtLeast + kStepsPerByte * text_bytes;
    pcre2_set_match_limit(context, static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
    limit_is_for = text_bytes;
  }
};

MatchScratch::MatchScratch(UnicodeReach reach) : state_(std::make_unique<State>(reach)) {}
MatchScratch::~MatchScratch() = default;

int MatchScratch::match(const void* code, std::string_view text, size_t from) {
  return pcre2_match(static_cast<const pcre2_code*>(code),
                     reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                     PCRE2_NO_UTF_CHECK, state_->data, state_->context);
}

std::optional<TextSpan> MatchScratch::find(const SplitPattern& pattern, std::string_view text,
                                           size_t from) {
  const void* code = pattern.code(state_->reach);
  state_->set_limit(text.size());
  int result = match(code, text, from);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT && !state_->stack) {
    state_->stack = must(pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr));
    pcre2_jit_stack_assign(state_->context, nullptr, state_->stack);
    result = match(code, text, from);
  }
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
  if (result < 0) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: a split pattern gave up on a text of {} bytes: {}", pattern.name(),
                            text.size(), reason(result)));
  }
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(state_->data);
  return TextSpan{ends[0], ends[1]};
}

}  // namespace mica
