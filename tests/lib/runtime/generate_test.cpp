#include "lib/runtime/generate.h"

#include "lib/base/utf8.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

// A tiny model and a session; greedy from the prompt "Hello".
struct Fixture {
  TempFolder folder;
  std::shared_ptr<const LoadedModel> model = load_tiny(folder);
  Session session{model};
  std::vector<TokenId> prompt = {'H', 'e', 'l', 'l', 'o'};

  GenerateResult run(const GenerateOptions& options) { return generate(session, prompt, options); }
};

TEST_CASE("greedy generation picks the greatest logit step by step") {
  Fixture f;
  const GenerateResult result = f.run({.max_tokens = 20, .ignore_eos = true});
  REQUIRE(result.tokens.size() == 20);
  CHECK(result.prompt_tokens == 5);
  CHECK(result.reused_tokens == 0);
  CHECK(result.finish_reason == FinishReason::kLength);
  Session by_hand(f.model);
  REQUIRE(by_hand.feed(f.prompt));
  for (const TokenId id : result.tokens) {
    const auto logits = by_hand.logits().first(259);  // of the tokenizer
    CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() == id);
    REQUIRE(by_hand.feed({&id, 1}));
  }
  // The last token was chosen, not fed.
  CHECK(f.session.ids().size() == 5 + 19);
}

TEST_CASE("pieces are whole characters and together the text, which is what the ids decode to") {
  Fixture f;
  std::string pieces;
  GenerateOptions options{
      .max_tokens = 200, .sampling = {.temperature = 3, .seed = 11}, .ignore_eos = true};
  int64_t calls = 0;
  options.callback = [&](std::string_view text, TokenId) {
    CHECK(find_invalid_utf8(text) == kValid);
    pieces += text;
    ++calls;
    return true;
  };
  const GenerateResult result = f.run(options);
  CHECK(result.tokens.size() == 200);
  CHECK(calls >= 200);
  CHECK(pieces == result.text);
  CHECK(result.text == f.model->tokenizer().decode(result.tokens, true));
}

TEST_CASE("a character of several tokens is given out when it is complete") {
  Fixture f;
  // U+20AC is e2 82 ac. The first of these for ever gives replacement characters, never halves.
  const GenerateResult result = f.run({.max_tokens = 3, .sampling = {.bias = {{0xe2, 1000}}}});
  CHECK(result.text == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

TEST_CASE("an end token ends the text and is not part of it") {
  Fixture f;
  const GenerateOptions options{.max_tokens = 9, .sampling = {.bias = {{kEosId, 1000}}}};
  const GenerateResult result = f.run(options);
  CHECK(result.finish_reason == FinishReason::kStop);
  CHECK(result.tokens == std::vector<TokenId>{kEosId});
  CHECK(result.text.empty());
  GenerateOptions ignoring = options;
  ignoring.ignore_eos = true;
  CHECK(f.run(ignoring).tokens == std::vector<TokenId>(9, kEosId));
}

TEST_CASE("a stop string ends the text before it, across tokens, and is never shown") {
  Fixture f;
  std::string shown;
  GenerateOptions options{.max_tokens = 50, .stop = {"xxxx"}};
  options.sampling.bias = {{'x', 1000}};
  options.callback = [&](std::string_view text, TokenId) {
    shown += text;
    return true;
  };
  const GenerateResult result = f.run(options);
  CHECK(result.finish_reason == FinishReason::kStop);
  CHECK(result.tokens.size() == 4);
  CHECK(result.text.empty());
  CHECK(shown.empty());

  options.stop = {"xxxy"};
  options.max_tokens = 7;
  CHECK(f.run(options).text == "xxxxxxx");
  CHECK(shown == "xxxxxxx");
}

TEST_CASE("a full context ends with length") {
  Fixture f;
  f.session = Session(f.model, {.context = 16});
  const GenerateResult result = f.run({.ignore_eos = true});
  // 5 of the prompt, 11 fed, and the one chosen after the last.
  CHECK(result.tokens.size() == 12);
  CHECK(result.finish_reason == FinishReason::kLength);
  CHECK(f.session.ids().size() == 16);
}

TEST_CASE("zero tokens only prefill") {
  Fixture f;
  const GenerateResult result = f.run({.max_tokens = 0});
  CHECK(result.tokens.empty());
  CHECK(result.finish_reason == FinishReason::kLength);
  CHECK(f.session.ids().size() == 5);
}

TEST_CASE("the callback and the flag cancel, and the session can go on") {
  Fixture f;
  GenerateOptions options{.max_tokens = 50, .ignore_eos = true};
  int calls = 0;
  options.callback = [&](std::string_view, TokenId) { return ++calls < 3; };
  CHECK(f.run(options).finish_reason == FinishReason::kCancelled);
  CHECK(f.session.ids().size() == 5 + 2);

  CancelFlag cancel = false;
  options.callback = [&](std::string_view, TokenId) {
    cancel = true;
    return true;
  };
  options.cancel = &cancel;
  const GenerateResult result = f.run(options);
  CHECK(result.finish_reason == FinishReason::kCancelled);
  CHECK(result.tokens.size() == 1);

  cancel = false;
  options.callback = {};
  const GenerateResult whole = f.run(options);
  CHECK(whole.finish_reason == FinishReason::kLength);
  CHECK(whole.tokens.size() == 50);
}

TEST_CASE("a cancelled prefill gives no text") {
  Fixture f;
  const CancelFlag cancel = true;
  const GenerateResult result = f.run({.max_tokens = 5, .cancel = &cancel});
  CHECK(result.finish_reason == FinishReason::kCancelled);
  CHECK(result.tokens.empty());
}

TEST_CASE("the next turn computes only what is new, and a seed gives the same answer again") {
  Fixture f;
  const GenerateOptions options{
      .max_tokens = 30, .sampling = {.temperature = 1, .seed = 3}, .ignore_eos = true};
  const GenerateResult first = f.run(options);
  CHECK(first.seed == 3);
  f.prompt.insert(f.prompt.end(), first.tokens.begin(), first.tokens.begin() + 10);
  f.prompt.push_back('!');
  const GenerateResult second = f.run(options);
  CHECK(second.reused_tokens == 5 + 10);
  Session fresh(f.model);
  CHECK(generate(fresh, f.prompt, options).tokens == second.tokens);
}

TEST_CASE("of a prompt that is held in part or whole all but the last token is reused") {
  Fixture f;
  const GenerateOptions none{.max_tokens = 0};
  CHECK(f.run(none).reused_tokens == 0);
  CHECK(f.run(none).reused_tokens == 5);  // with the logits after it
  f.prompt.pop_back();
  CHECK(f.run(none).reused_tokens == 3);  // the logits after the fourth are gone
  f.prompt = {'x'};
  CHECK(f.run(none).reused_tokens == 0);
}

// Rows 259 to 271 of the tiny model pad its embedding. Made the likeliest they are not chosen: the
// logits are the product with a hidden state, so that a row or its opposite is positive.
TEST_CASE("rows of the model without a token are never chosen") {
  const TempFolder folder;
  TinyModel tiny{.embedding = "f32"};
  tiny.change_values = [](const TensorSpec& spec, std::vector<float>& values) {
    if (spec.role != Role::kHead) return;
    for (size_t i = 259 * spec.cols; i < values.size(); ++i) {
      values[i] = i / spec.cols % 2 == 0 ? 100.0f : -100.0f;
    }
  };
  const auto model = load_tiny(folder, tiny);
  Session session(model);
  const std::vector<TokenId> prompt = {'H', 'i', 265};  // as a prompt such a row is taken
  for (const float temperature : {0.0f, 5.0f}) {
    const GenerateResult result =
        generate(session, prompt,
                 {.max_tokens = 20,
                  .sampling = {.temperature = temperature, .repetition_penalty = 1.5f, .seed = 1},
                  .ignore_eos = true});
    for (const TokenId id : result.tokens) CHECK(id < 259);
  }
  REQUIRE(session.replace(prompt));
  const auto logits = session.logits();
  CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() >= 259);
  const Error error = error_of([&] {
    generate(session, prompt, {.max_tokens = 1, .sampling = {.bias = {{259, 1}}}});
  });
  CHECK(error.message() == "sampling.bias: expected an id below 259, found 259");
}

TEST_CASE("names of finish reasons are those of the program's output") {
  CHECK(std::string(finish_reason_name(FinishReason::kStop)) == "stop");
  CHECK(std::string(finish_reason_name(FinishReason::kLength)) == "length");
  CHECK(std::string(finish_reason_name(FinishReason::kCancelled)) == "cancelled");
}

}  // namespace
}  // namespace mica::testing
