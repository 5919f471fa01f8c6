#include "lib/runtime/generate.h"

#include <algorithm>
#include <chrono>

#include "lib/runtime/stop_strings.h"

namespace mica {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

double rate(double count, double seconds) {
  return seconds > 0 ? count / seconds : 0;
}

// Ids to text to callback, with what might begin a stop string held back.
class TextOut {
 public:
  TextOut(const Tokenizer& tokenizer, const GenerateOptions& options, std::string& text)
      : tokenizer_(tokenizer),
        stream_(tokenizer),
        stops_(options.stop),
        callback_(options.callback),
        text_(text) {}

  // False: the callback wants no more.
  bool push(TokenId id) {
    // Rows that pad the embedding have no text.
    const bool has_text = id < tokenizer_.vocabulary_size();
    return emit(stops_.push(has_text ? stream_.push(id) : std::string()), id);
  }
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

  const Tokenizer& tokenizer_;
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
  Sampler sampler(options.sampling, session.model().config().vocabulary_size);
  TextOut out(session.model().tokenizer(), options, result.text);
  result.seed = sampler.seed();
  result.prompt_tokens = std::ssize(prompt);

  const Stopwatch prefill;
  const std::span<const TokenId> held = session.ids();
  result.reused_tokens =
      std::mismatch(prompt.begin(), prompt.end(), held.begin(), held.end()).first - prompt.begin();
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
