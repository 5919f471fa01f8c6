#include "lib/runtime/evaluate.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/output_file.h"
#include "lib/model/decoder.h"
#include "lib/runtime/room.h"

namespace mica {
namespace {

constexpr int64_t kStepTokens = 512;
constexpr int64_t kLogitRows = 32;  // 32 MiB for a vocabulary of 262144

struct Score {
  double nll = 0;  // negative log-likelihood of the next token
  double base_nll = 0;
  double kl = 0;
  bool same_top = false;
};

// A scored position and its row in the step that computes it.
struct Scored {
  int64_t window;
  int64_t position;
  int32_t row;
};

void score_against(std::span<const float> logits, double log_sum, const KlRecord& base,
                   Score& score) {
  size_t top = 0, base_top = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > logits[top]) top = i;
    if (base.codes[i] > base.codes[base_top]) base_top = i;
    const float log_p = base.log_probability(static_cast<int64_t>(i));
    // As llama-perplexity: what is clipped in the record does not count.
    if (log_p > -16) score.kl += std::exp(log_p) * (log_p - (logits[i] - log_sum));
  }
  score.same_top = top == base_top;
}

EvaluationWindows cut_text(const LoadedModel& model, std::string_view text, int64_t context) {
  if (context < 3 || context > model.config().context_length) {
    throw Error(ErrorCode::kUsage, fmt::format("perplexity context: expected 3 .. {}, found {}",
                                               model.config().context_length, context));
  }
  EvaluationWindows windows{
      .context = context, .tokens = model.tokenizer().encode(text, {.match_added_tokens = false})};
  if (windows.count() == 0) {
    throw Error(ErrorCode::kUsage, fmt::format("perplexity text: expected at least {} tokens (one "
                                               "window), found {}",
                                               context, windows.tokens.size()));
  }
  windows.tokens.resize(windows.count() * context);
  return windows;
}

class Evaluation {
 public:
  Evaluation(const LoadedModel& model, const EvaluationWindows& windows, KvType kv,
             const KlBaseFile* base, OutputFile* saved);
  std::vector<Score> run(const Progress& progress);

 private:
  void run_step(int64_t first_window, int64_t windows, int64_t begin, int64_t tokens);
  void score_rows(std::span<const Scored> scored);
  Score score(std::span<const float> logits, const Scored& scored) const;

  const LoadedModel& model_;
  const EvaluationWindows& windows_;
  const KlBaseFile* base_;
  OutputFile* saved_;
  int64_t windows_a_step_;
  Room room_;
  std::deque<KvSequence> sequences_;  // one a window of a step
  std::vector<Score> scores_;
  std::vector<std::byte> records_;  // [kLogitRows] of a base file being written
};

Evaluation::Evaluation(const LoadedModel& model, const EvaluationWindows& windows, KvType kv,
                       const KlBaseFile* base, OutputFile* saved)
    : model_(model),
      windows_(windows),
      base_(base),
      saved_(saved),
      windows_a_step_(std::clamp<int64_t>(kStepTokens / windows.context, 1, windows.count())) {
  const auto lock = model.engine().lock();
  room_ = make_room(
      model,
      {.use = fmt::format("perplexity with windows of {} tokens", windows.context),
       .kv = kv,
       .blocks = windows_a_step_ * KvPool::blocks_for(windows.context),
       .limits = {.tokens = kStepTokens, .logit_rows = kLogitRows, .context = windows.context}});
  for (int64_t i = 0; i < windows_a_step_; ++i) {
    sequences_.emplace_back(*room_.pool).resize(windows.context);
  }
  if (saved != nullptr)
    records_.resize(kLogitRows * kl_record_bytes(model.config().vocabulary_size));
}

std::vector<Score> Evaluation::run(const Progress& progress) {
  const int64_t total = windows_.count();
  for (int64_t window = 0; window < total; window += windows_a_step_) {
    const int64_t count = std::min(windows_a_step_, total - window);
    for (int64_t begin = 0; begin < windows_.context; begin += kStepTokens) {
      run_step(window, count, begin, std::min(kStepTokens, windows_.context - begin));
    }
    if (progress && !progress(window + count, total)) {
      throw Error(ErrorCode::kInterrupted,
                  fmt::format("perplexity: stopped after {} of {} windows", window + count, total));
    }
  }
  return std::move(scores_);
}

// Tokens [begin, begin + tokens) of each window.
void Evaluation::run_step(int64_t first_window, int64_t windows, int64_t begin, int64_t tokens) {
  const std::span<const TokenId> prefix = model_.tokenizer().prefix_tokens();
  std::vector<TokenId> ids;
  std::vector<BatchSegment> segments;
  std::vector<Scored> scored;
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t window = first_window + i;
    const int64_t first_row = std::ssize(ids);
    const auto from = windows_.tokens.begin() + window * windows_.context + begin;
    ids.insert(ids.end(), from, from + tokens);
    if (begin == 0 && !prefix.empty()) ids[first_row] = prefix.front();
    segments.push_back({.first_row = first_row,
                        .tokens = tokens,
                        .first_position = begin,
                        .blocks = sequences_[i].blocks()});
    const int64_t end = std::min(begin + tokens, windows_.context - 1);
    for (int64_t p = std::max(begin, windows_.first_scored()); p < end; ++p) {
      scored.push_back({window, p, static_cast<int32_t>(first_row + p - begin)});
    }
  }
  RowRange logit_rows;
  if (!scored.empty()) {
    const int64_t first = scored.front().row;
    logit_rows = {.first = first, .count = scored.back().row + 1 - first};
  }
  const auto lock = model_.engine().lock();
  room_.pipeline->forward(ids, segments, *room_.pool, logit_rows);
  for (std::span<const Scored> left = scored; !left.empty();) {
    const size_t count = std::min(left.size(), static_cast<size_t>(kLogitRows));
    score_rows(left.first(count));
    left = left.subspan(count);
  }
  model_.file().check();
  if (base_ != nullptr) base_->check();
}

void Evaluation::score_rows(std::span<const Scored> scored) {
  std::vector<int32_t> rows;
  for (const Scored& s : scored) rows.push_back(s.row);
  const View<const float> logits = room_.pipeline->logits(rows);
  const auto size = static_cast<size_t>(logits.row_size());
  const uint64_t record_bytes = kl_record_bytes(logits.row_size());
  const size_t done = scores_.size();
  scores_.resize(done + scored.size());
  // Scores are stored by position and added up in order: sums do not depend on threads.
  model_.engine().pool().share(logits.rows(), 1, [&](int, Range part) {
    for (int64_t i = part.begin; i < part.end; ++i) {
      const std::span<const float> row(logits.row(i), size);
      scores_[done + i] = score(row, scored[i]);
      if (saved_ != nullptr) write_kl_record(row, records_.data() + i * record_bytes);
    }
  });
  if (saved_ != nullptr) saved_->write({records_.data(), scored.size() * record_bytes});
}

Score Evaluation::score(std::span<const float> logits, const Scored& at) const {
  const double log_sum = log_sum_exp(logits);
  if (!std::isfinite(log_sum)) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: logits of window {}: expected finite numbers, found others: the "
                            "file may be damaged (verify it)",
                            model_.file().path(), at.window));
  }
  const TokenId next = windows_.tokens[at.window * windows_.context + at.position + 1];
  Score score{.nll = log_sum - logits[next]};
  if (base_ == nullptr) return score;
  const KlRecord record = base_->record(at.window, at.position - windows_.first_scored());
  score.base_nll = -record.log_probability(next);
  score_against(logits, log_sum, record, score);
  return score;
}

// f of all scores.
template <class F>
std::vector<double> values_of(const std::vector<Score>& scores, F f) {
  std::vector<double> values;
  values.reserve(scores.size());
  for (const Score& score : scores) values.push_back(f(score));
  return values;
}

KlResult summarize_kl(const std::vector<Score>& scores) {
  const auto nll = values_of(scores, [](const Score& s) { return s.nll; });
  const auto base_nll = values_of(scores, [](const Score& s) { return s.base_nll; });
  // The variance of the difference holds the covariance of the two.
  const auto difference = values_of(scores, [](const Score& s) { return s.nll - s.base_nll; });
  const auto probabilities =
      values_of(scores, [](const Score& s) { return std::exp(-s.nll) - std::exp(-s.base_nll); });
  std::vector<double> squares;
  for (const double p : probabilities) squares.push_back(p * p);
  return {.kl = distribution_of(values_of(scores, [](const Score& s) { return s.kl; })),
          .probability_difference = distribution_of(probabilities),
          .probability_difference_rms = square_root(mean_of(squares)),
          .perplexity_ratio = exponential(mean_of(difference)),
          .base_perplexity = exponential(mean_of(base_nll)),
          .log_correlation = correlation(nll, base_nll),
          .top1_agreement =
              mean_of(values_of(scores, [](const Score& s) { return s.same_top ? 1.0 : 0.0; }))};
}

}  // namespace

EvaluateResult evaluate(const LoadedModel& model, std::string_view text,
                        const EvaluateOptions& options) {
  const int64_t vocabulary = model.config().vocabulary_size;
  if (options.windows < 0) {
    throw Error(ErrorCode::kUsage,
                fmt::format("perplexity windows: expected 0 or more, found {}", options.windows));
  }
  if (options.reference != nullptr) require_same_shape(model, *options.reference);
  std::optional<KlBaseFile> base;
  if (!options.kl_base.empty()) base.emplace(MappedFile::open(options.kl_base), vocabulary);
  EvaluationWindows windows = base ? base->windows() : cut_text(model, text, options.context);
  if (windows.context > model.config().context_length) {
    throw Error(
        ErrorCode::kUsage,
        fmt::format("{}: expected windows of at most {} tokens, the model's context, found {}",
                    options.kl_base, model.config().context_length, windows.context));
  }
  if (options.windows > 0 && options.windows < windows.count()) {
    windows.tokens.resize(options.windows * windows.context);
  }
  std::optional<OutputFile> saved;
  if (!options.save_kl_base.empty()) {
    saved.emplace(options.save_kl_base);
    saved->write(as_bytes(kl_base_header(windows, vocabulary)));
  }
  Evaluation evaluation(model, windows, options.kv, base ? &*base : nullptr,
                        saved ? &*saved : nullptr);
  const int rounds = options.reference != nullptr ? 2 : 1;
  const auto progress = [&](int round) -> Progress {
    if (!options.progress) return nullptr;
    return [&options, rounds, round](uint64_t done, uint64_t total) {
      return options.progress(round * total + done, rounds * total);
    };
  };
  const std::vector<Score> scores = evaluation.run(progress(0));
  if (saved) saved->commit();

  EvaluateResult result;
  result.perplexity = exponential(mean_of(values_of(scores, [](const Score& s) { return s.nll; })));
  result.windows = windows.count();
  result.scored_tokens = std::ssize(scores);
  if (base) result.kl = summarize_kl(scores);
  if (options.reference != nullptr) {
    result.layers = compare_layers(model, *options.reference, windows, options.kv, progress(1));
  }
  return result;
}

}  // namespace mica
