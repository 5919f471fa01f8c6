#include "lib/runtime/task.h"

#include <algorithm>
#include <cmath>

#include "lib/runtime/session.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

// log p(continuation | context), one byte a token, in doubles.
double plain_log_likelihood(const std::shared_ptr<const LoadedModel>& model,
                            const std::string& context, const std::string& continuation,
                            bool* greedy = nullptr, bool bos = false) {
  Session session(model);
  std::vector<TokenId> ids(context.begin(), context.end());
  if (bos) ids.insert(ids.begin(), kBosId);
  double sum = 0;
  for (const char byte : continuation) {
    REQUIRE(session.feed(ids));
    const std::span<const float> logits = session.logits();
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit});
    sum += logits[byte] - std::log(total);
    if (greedy) *greedy &= std::ranges::max_element(logits) - logits.begin() == byte;
    ids = {byte};
  }
  return sum;
}

std::string choices_line(const std::string& context, const std::vector<std::string>& choices,
                         int answer) {
  return Json::object({{"context", context}, {"choices", Json::array(choices)}, {"answer", answer}})
             .dump() +
         "\n";
}

TEST_CASE("choices are ranked by the sum of log-likelihoods, and by that per byte") {
  const TempFolder folder;
  for (const bool bos : {false, true}) {
    const auto model = load_tiny(folder, {.tokenizer_image = tiny_tokenizer_image(bos)});
    const std::vector<std::string> choices = {"a", "tea or coffee", "xyz", "some more words"};
    std::string lines;
    double right = 0, right_norm = 0;
    constexpr int kItems = 12;
    for (int i = 0; i < kItems; ++i) {
      // A context longer than a step of 512 tokens among short ones.
      const std::string context(i == 5 ? 700 : 4 + i, static_cast<char>('a' + i));
      size_t best = 0, best_norm = 0;
      std::vector<double> sums, norms;
      for (const std::string& choice : choices) {
        sums.push_back(plain_log_likelihood(model, context, " " + choice, nullptr, bos));
        norms.push_back(sums.back() / double(choice.size()));
        if (sums.back() > sums[best]) best = sums.size() - 1;
        if (norms.back() > norms[best_norm]) best_norm = norms.size() - 1;
      }
      const int answer = i % 4;
      right += best == size_t(answer);
      right_norm += best_norm == size_t(answer);
      lines += choices_line(context, choices, answer);
    }
    const TaskResult result = run_task(*model, TaskKind::kChoices, lines, {});
    CHECK(result.items == kItems);
    CHECK(result.accuracy.value == doctest::Approx(right / kItems));
    REQUIRE(result.accuracy_norm);
    CHECK(result.accuracy_norm->value == doctest::Approx(right_norm / kItems));
    CHECK(right != right_norm);  // the two do differ here
    CHECK_FALSE(result.perplexity);
  }
}

TEST_CASE("a last word is found where greedy decoding gives all of its tokens") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  std::string lines;
  double found = 0, log_sum = 0;
  const std::vector<std::string> contexts = {"one two", "the sea", "a, b and", "q"};
  for (const std::string& context : contexts) {
    std::string word = "word";
    bool greedy = true;
    log_sum += plain_log_likelihood(model, context, " " + word, &greedy);
    found += greedy;
    lines += Json::object({{"text", context + " " + word}}).dump() + "\r\n\n";
  }
  const TaskResult result = run_task(*model, TaskKind::kLambada, lines, {});
  CHECK(result.items == 4);
  CHECK(result.accuracy.value == doctest::Approx(found / 4));
  REQUIRE(result.perplexity);
  // Sums of float exponentials: 2^-23 each.
  CHECK(result.perplexity->value == doctest::Approx(std::exp(-log_sum / 4)).epsilon(1e-5));
  CHECK(run_task(*model, TaskKind::kLambada, lines, {.items = 3}).items == 3);
}

TEST_CASE("a word that the model would write is found") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  // Of all contexts of two bytes, those behind which the model writes a space and a letter.
  std::string lines;
  for (char first = '!'; first <= '~'; ++first) {
    for (char second = '!'; second <= '~'; ++second) {
      const std::string context = {first, second};
      bool greedy = true;
      plain_log_likelihood(model, context, " ", &greedy);
      if (!greedy) continue;
      for (char word = '!'; word <= '~' && lines.empty(); ++word) {
        greedy = true;
        plain_log_likelihood(model, context, {' ', word}, &greedy);
        if (greedy) lines = Json::object({{"text", context + " " + word}}).dump();
      }
    }
  }
  REQUIRE_FALSE(lines.empty());
  CHECK(run_task(*model, TaskKind::kLambada, lines, {}).accuracy.value == 1);
}

TEST_CASE("lines that are no task are refused by their number") {
  const TempFolder folder;
  const auto model = load_tiny(folder, {.context_length = 64});
  const auto refusal = [&](TaskKind kind, const std::string& lines) {
    const Error error = error_of([&] { run_task(*model, kind, lines, {}); });
    CHECK(error.code() == ErrorCode::kUsage);
    return error.message();
  };
  CHECK(refusal(TaskKind::kLambada, "\n \n") == "task: expected JSON lines, found none");
  CHECK(refusal(TaskKind::kLambada, "{\"text\": \"a b\"}\nx").starts_with("task line 2: "));
  CHECK(refusal(TaskKind::kLambada, "{}") == "task line 1: text: expected string, found null");
  CHECK(refusal(TaskKind::kLambada, "{\"text\": \"word\"}") ==
        "task line 1: text: expected a last word behind a space");
  CHECK(refusal(TaskKind::kLambada, "{\"text\": \"word \"}") ==
        "task line 1: text: expected a last word behind a space");
  CHECK(refusal(TaskKind::kLambada, "{\"text\": \" word\"}") ==
        "task line 1: context: expected at least one token, found none");
  CHECK(refusal(TaskKind::kChoices, choices_line("a", {"b"}, 0)) ==
        "task line 1: choices: expected at least 2, found 1");
  CHECK(refusal(TaskKind::kChoices, choices_line("a", {"b", "c"}, 2)) ==
        "task line 1: answer: expected 0 .. 1, found 2");
  CHECK(refusal(TaskKind::kChoices, choices_line("a", {"b", ""}, 0)) ==
        "task line 1: expected a continuation, found an empty one");
  CHECK(refusal(TaskKind::kChoices, choices_line(std::string(63, 'a'), {"b", "cc"}, 0)) ==
        "task line 1: expected at most 64 tokens, the model's context, found 65");
  CHECK(error_of([&] {
          run_task(*model, TaskKind::kLambada, "{\"text\": \"a b\"}",
                   {.progress = [](uint64_t, uint64_t) { return false; }});
        }).code() == ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace mica::testing
