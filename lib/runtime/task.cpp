#include "lib/runtime/task.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/json.h"
#include "lib/runtime/one_sequence.h"

namespace mica {
namespace {

constexpr int64_t kStepTokens = 512;
constexpr int64_t kLogitRows = 32;  // 32 MiB for a vocabulary of 262144

// Tokens, and the first of them whose likelihood counts.
struct Continuation {
  std::vector<TokenId> ids;
  size_t first_scored = 0;
  double bytes = 0;  // of the text that is scored, without the space before it
};

struct Item {
  std::vector<Continuation> continuations;
  size_t answer = 0;
};

[[noreturn]] void fail(const std::string& line, const std::string& what) {
  throw Error(ErrorCode::kUsage, fmt::format("{}: {}", line, what));
}

// Lines of a task become items.
class TaskReader {
 public:
  TaskReader(const LoadedModel& model, TaskKind kind) : model_(model), kind_(kind) {}

  std::vector<Item> read(std::string_view json_lines, int64_t limit) const {
    std::vector<Item> items;
    for (int number = 1; !json_lines.empty(); ++number) {
      const std::string_view line = json_lines.substr(0, json_lines.find('\n'));
      json_lines.remove_prefix(std::min(json_lines.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      if (limit > 0 && std::ssize(items) == limit) break;
      items.push_back(read_line(line, fmt::format("task line {}", number)));
    }
    if (items.empty()) fail("task", "expected JSON lines, found none");
    return items;
  }

 private:
  Item read_line(std::string_view text, const std::string& line) const {
    try {
      const Json json = Json::parse(text, line);
      return kind_ == TaskKind::kLambada ? read_last_word(json, line) : read_choices(json, line);
    } catch (const Error& error) {
      throw Error(ErrorCode::kUsage, error.message());  // the text is no model file
    }
  }

  Item read_last_word(const Json& json, const std::string& line) const {
    const std::string& text = json["text"].as_string(line + ": text");
    const size_t space = text.rfind(' ');
    if (space == text.npos || space + 1 == text.size()) {
      fail(line, "text: expected a last word behind a space");
    }
    return {.continuations = {continuation(text.substr(0, space), text.substr(space + 1), line)}};
  }

  Item read_choices(const Json& json, const std::string& line) const {
    const std::string& context = json["context"].as_string(line + ": context");
    const Json::Array& choices = json["choices"].as_array(line + ": choices");
    const int64_t answer = json["answer"].as_integer(line + ": answer");
    if (choices.size() < 2) {
      fail(line, fmt::format("choices: expected at least 2, found {}", choices.size()));
    }
    if (answer < 0 || answer >= std::ssize(choices)) {
      fail(line, fmt::format("answer: expected 0 .. {}, found {}", choices.size() - 1, answer));
    }
    Item item{.answer = static_cast<size_t>(answer)};
    for (const Json& choice : choices) {
      item.continuations.push_back(
          continuation(context, choice.as_string(line + ": choices"), line));
    }
    return item;
  }

  std::vector<TokenId> encode(std::string_view text) const {
    const Tokenizer& tokenizer = model_.tokenizer();
    const auto prefix = tokenizer.prefix_tokens();
    std::vector<TokenId> ids(prefix.begin(), prefix.end());
    const auto more =
        tokenizer.encode(text, {.match_added_tokens = false, .add_special_tokens = false});
    ids.insert(ids.end(), more.begin(), more.end());
    return ids;
  }

  Continuation continuation(std::string context, const std::string& text,
                            const std::string& line) const {
    if (text.empty()) fail(line, "expected a continuation, found an empty one");
    const std::string whole = context + " " + text;
    context.resize(context.find_last_not_of(" \t\r\n") + 1);  // tokens of words begin with spaces
    Continuation result{.ids = encode(whole),
                        .first_scored = encode(context).size(),
                        .bytes = static_cast<double>(text.size())};
    if (result.first_scored == 0) fail(line, "context: expected at least one token, found none");
    if (result.first_scored >= result.ids.size()) {
      fail(line, fmt::format("'{}' adds no token to its context", text));
    }
    const int64_t most = model_.config().context_length;
    if (std::ssize(result.ids) > most) {
      fail(line, fmt::format("expected at most {} tokens, the model's context, found {}", most,
                             result.ids.size()));
    }
    return result;
  }

  const LoadedModel& model_;
  TaskKind kind_;
};

struct Likelihood {
  double log = 0;
  bool greedy = true;  // each token is the most probable one
};

// Log-likelihoods of one sequence after another; what two have in common is computed once.
class Scorer {
 public:
  Scorer(const LoadedModel& model, int64_t context, KvType kv)
      : model_(model),
        one_(model, kv, fmt::format("a task of up to {} tokens", context),
             {.tokens = kStepTokens, .logit_rows = kLogitRows, .context = context}) {}
  Likelihood score(const Continuation& continuation);

 private:
  void add_rows(const Continuation& c, int64_t begin, RowRange scored, Likelihood& sum);

  const LoadedModel& model_;
  OneSequence one_;
  std::vector<TokenId> held_;
};

Likelihood Scorer::score(const Continuation& c) {
  // The last token is only predicted; the one before the first scored is needed for its logits.
  const int64_t end = std::ssize(c.ids) - 1;
  int64_t begin = std::ranges::mismatch(held_, c.ids).in1 - held_.begin();
  begin = std::min(begin, static_cast<int64_t>(c.first_scored) - 1);
  Likelihood sum;
  held_.clear();  // until the steps are done
  const auto lock = model_.engine().lock();
  for (; begin < end; begin += kStepTokens) {
    const int64_t tokens = std::min(kStepTokens, end - begin);
    const BatchSegment segment{.first_row = 0,
                               .tokens = tokens,
                               .first_position = begin,
                               .blocks = one_.sequence->blocks()};
    // The rows that predict what is scored.
    const auto predicting = static_cast<int64_t>(c.first_scored) - 1 - begin;
    const int64_t first = std::clamp<int64_t>(predicting, 0, tokens);
    const RowRange rows{.first = first, .count = tokens - first};
    one_.room.pipeline->forward({c.ids.data() + begin, static_cast<size_t>(tokens)}, {&segment, 1},
                                *one_.room.pool, rows);
    add_rows(c, begin, rows, sum);
  }
  model_.file().check();
  held_.assign(c.ids.begin(), c.ids.end() - 1);
  return sum;
}

// Adds the likelihoods of the tokens that `scored` of the step's rows predict.
void Scorer::add_rows(const Continuation& c, int64_t begin, RowRange scored, Likelihood& sum) {
  const int64_t end = scored.first + scored.count;
  for (int64_t row = scored.first; row < end; row += kLogitRows) {
    std::vector<int32_t> rows;
    for (int64_t r = row; r < std::min(end, row + kLogitRows); ++r) {
      rows.push_back(static_cast<int32_t>(r));
    }
    const View<const float> logits = one_.room.pipeline->logits(rows);
    const auto size = static_cast<size_t>(logits.row_size());
    for (int64_t i = 0; i < logits.rows(); ++i) {
      const std::span<const float> of_row(logits.row(i), size);
      const double log_sum = log_sum_exp(of_row);
      if (!std::isfinite(log_sum)) {
        throw Error(ErrorCode::kRuntime,
                    fmt::format("{}: logits: expected finite numbers, found others: the file may "
                                "be damaged (verify it)",
                                model_.file().path()));
      }
      const TokenId next = c.ids[static_cast<size_t>(begin + row + i + 1)];
      sum.log += of_row[static_cast<size_t>(next)] - log_sum;
      sum.greedy &= std::ranges::max_element(of_row) - of_row.begin() == next;
    }
  }
}

// The index of the greatest value, the first of equals.
size_t best(const std::vector<double>& values) {
  return static_cast<size_t>(std::ranges::max_element(values) - values.begin());
}

}  // namespace

TaskResult run_task(const LoadedModel& model, TaskKind kind, std::string_view json_lines,
                    const TaskOptions& options) {
  if (options.items < 0) {
    fail("task items", fmt::format("expected 0 or more, found {}", options.items));
  }
  const std::vector<Item> items = TaskReader(model, kind).read(json_lines, options.items);
  int64_t longest = 0;
  for (const Item& item : items) {
    for (const Continuation& c : item.continuations) longest = std::max(longest, std::ssize(c.ids));
  }
  Scorer scorer(model, longest, options.kv);
  std::vector<double> right, right_norm, logs;
  for (size_t i = 0; i < items.size(); ++i) {
    std::vector<double> sums, per_byte;
    Likelihood last;
    for (const Continuation& c : items[i].continuations) {
      last = scorer.score(c);
      sums.push_back(last.log);
      per_byte.push_back(last.log / c.bytes);
    }
    const bool is_right = kind == TaskKind::kLambada ? last.greedy : best(sums) == items[i].answer;
    right.push_back(is_right ? 1 : 0);
    right_norm.push_back(best(per_byte) == items[i].answer ? 1 : 0);
    logs.push_back(-last.log);
    if (options.progress && !options.progress(i + 1, items.size())) {
      throw Error(ErrorCode::kInterrupted,
                  fmt::format("task: stopped after {} of {} lines", i + 1, items.size()));
    }
  }
  TaskResult result{.items = std::ssize(items), .accuracy = mean_of(right)};
  if (kind == TaskKind::kLambada) {
    result.perplexity = exponential(mean_of(logs));
  } else {
    result.accuracy_norm = mean_of(right_norm);
  }
  return result;
}

}  // namespace mica
