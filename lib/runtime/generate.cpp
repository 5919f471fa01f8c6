#include "lib/runtime/generate.h"

#include <algorithm>

#include "lib/base/stopwatch.h"
#include "lib/runtime/stop_strings.h"

namespace mica {
namespace {

double rate(double count, double seconds) {
  return seconds > 0 ? count / seconds : 0;
}

// Ids to text to callback, with what might begin a stop string held back.
class TextOut {
 public:
  TextOut(const Tokenizer& tokenizer, const GenerateOptions& options, std::string& text)
      : stream_(tokenizer), stops_(options.stop), callback_(options.callback), text_(text) {}

  // False: the callback wants no more.
  bool push(TokenId id) { return emit(stops_.push(stream_.push(id)), id); }
  bool stopped() const { return stops_.found(); }
  void flush() {
    std::string rest = stops_.push(stream_.flush());
    rest += stops_.flush();
    if (!rest.empty()) emit(rest, -1);
  }

 private:
  bool emit(const std::string& piece, TokenId id) {
    text_ += piece;
    return !callback_ || callback_(piece, id);
  }

  DecodeStream stream_;
  StopStrings stops_;
  const TokenCallback& callback_;
  std::string& text_;
};

FinishReason continue_text(Session& session, Sampler& sampler, TextOut& out,
                           const GenerateOptions& options, std::vector<TokenId>& tokens) {
  const std::vector<TokenId>& eos = session.model().special_tokens().eos;
  while (options.max_tokens < 0 || std::ssize(tokens) < options.max_tokens) {
    const TokenId id = sampler.sample(session.logits());
    tokens.push_back(id);
    const bool ended = std::find(eos.begin(), eos.end(), id) != eos.end();
    if (ended && !options.ignore_eos) return FinishReason::kStop;
    const bool goes_on = out.push(id);
    if (out.stopped()) return FinishReason::kStop;
    if (!goes_on) return FinishReason::kCancelled;
    if (std::ssize(tokens) == options.max_tokens) break;
    if (std::ssize(session.ids()) == session.context()) {
      session.model().engine().log(LogLevel::kWarning, "the context is full");
      break;
    }
    if (!session.feed({&id, 1}, options.cancel)) return FinishReason::kCancelled;
  }
  return FinishReason::kLength;
}

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

double GenerateResult::prefill_tokens_per_second() const {
  return rate(static_cast<double>(prompt_tokens - reused_tokens), prefill_seconds);
}

double GenerateResult::decode_tokens_per_second() const {
  return tokens.empty() ? 0 : rate(static_cast<double>(tokens.size() - 1), decode_seconds);
}

GenerateResult generate(Session& session, std::span<const TokenId> prompt,
                        const GenerateOptions& options) {
  GenerateResult result;
  Sampler sampler(options.sampling, session.model().tokenizer().vocabulary_size());
  TextOut out(session.model().tokenizer(), options, result.text);
  result.seed = sampler.seed();
  result.prompt_tokens = std::ssize(prompt);

  const Stopwatch prefill;
  result.reused_tokens = session.reusable(prompt);
  const bool complete = session.replace(prompt, options.cancel);
  result.prefill_seconds = prefill.seconds();

  const Stopwatch decode;
  sampler.see_prompt(prompt);
  result.finish_reason = complete ? continue_text(session, sampler, out, options, result.tokens)
                                  : FinishReason::kCancelled;
  if (result.finish_reason != FinishReason::kCancelled) out.flush();
  session.model().file().check();  // the last token's text came from the map
  result.decode_seconds = decode.seconds();
  return result;
}

}  // namespace mica
