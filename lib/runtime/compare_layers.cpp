#include "lib/runtime/compare_layers.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/runtime/one_sequence.h"

namespace mica {
namespace {

constexpr int64_t kStepTokens = 512;
constexpr int64_t kHeldFloats = 1 << 24;  // of the reference: all layers of a step

// As many tokens as keep the reference's outputs within bounds.
int64_t tokens_a_step(const ModelConfig& config, int64_t context) {
  const int64_t held = kHeldFloats / (config.layers * config.hidden_size);
  return std::clamp<int64_t>(held, 1, std::min(kStepTokens, context));
}

void require_equal(const LoadedModel& model, const LoadedModel& reference, const char* what,
                   int64_t ModelConfig::*field) {
  const int64_t expected = reference.config().*field, found = model.config().*field;
  if (expected == found) return;
  throw Error(ErrorCode::kUsage,
              fmt::format("{}: expected {} {} as {} has, found {}", model.file().path(), expected,
                          what, reference.file().path(), found));
}

// A model with room for one window.
class Walker {
 public:
  Walker(const LoadedModel& model, int64_t context, KvType kv)
      : model_(model),
        one_(model, kv, fmt::format("layers' errors in windows of {} tokens", context),
             {.tokens = std::min(kStepTokens, context), .logit_rows = 1, .context = context}) {}

  // Runs ids [T] from `position` on; `observer` is called on this thread, with the engine locked.
  void step(std::span<const TokenId> ids, int64_t position, const Decoder::Observer& observer) {
    const BatchSegment segment{.first_row = 0,
                               .tokens = std::ssize(ids),
                               .first_position = position,
                               .blocks = one_.sequence->blocks()};
    const auto lock = model_.engine().lock();
    one_.room.pipeline->observe(observer);
    one_.room.pipeline->forward(ids, {&segment, 1}, *one_.room.pool,
                                {.first = 0, .count = segment.tokens});
    model_.file().check();
  }

 private:
  const LoadedModel& model_;
  OneSequence one_;
};

double relative_error(std::span<const float> x, std::span<const float> reference) {
  double error = 0, square = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double difference = double{x[i]} - double{reference[i]};
    error += difference * difference;
    square += double{reference[i]} * double{reference[i]};
  }
  return square > 0 ? std::sqrt(error / square) : 0;
}

// Errors of one layer, added up in the order of tokens.
struct Sums {
  double sum = 0, squares = 0, max = 0;
  int64_t count = 0;

  void add(double error) {
    sum += error;
    squares += error * error;
    max = std::max(max, error);
    ++count;
  }
  LayerError result() const {
    const auto n = static_cast<double>(count);
    const double mean = sum / n, variance = std::max(0.0, squares / n - mean * mean);
    return {.mean = {mean, n > 1 ? std::sqrt(variance / (n - 1)) : 0}, .max = max};
  }
};

}  // namespace

void require_same_shape(const LoadedModel& model, const LoadedModel& reference) {
  require_equal(model, reference, "layers", &ModelConfig::layers);
  require_equal(model, reference, "channels", &ModelConfig::hidden_size);
  require_equal(model, reference, "tokens in the vocabulary", &ModelConfig::vocabulary_size);
}

std::vector<LayerError> compare_layers(const LoadedModel& model, const LoadedModel& reference,
                                       const EvaluationWindows& windows, KvType kv,
                                       const Progress& progress) {
  Walker walker(model, windows.context, kv), reference_walker(reference, windows.context, kv);
  const int64_t step_tokens = tokens_a_step(model.config(), windows.context);
  std::vector<Sums> sums(model.config().layers);
  std::vector<float> expected;  // [layers, T, D]
  for (int64_t window = 0; window < windows.count(); ++window) {
    const std::vector<TokenId> ids = windows.window(window, model.tokenizer().prefix_tokens());
    for (int64_t begin = 0; begin < windows.context; begin += step_tokens) {
      const int64_t tokens = std::min(step_tokens, windows.context - begin);
      const std::span<const TokenId> step(ids.data() + begin, static_cast<size_t>(tokens));
      expected.clear();
      reference_walker.step(step, begin, [&](int64_t, View<const float> x) {
        expected.insert(expected.end(), x.data(), x.data() + x.size());
      });
      walker.step(step, begin, [&](int64_t layer, View<const float> x) {
        const View<const float> y(&expected[layer * x.size()], x.rows(), x.row_size());
        const auto width = static_cast<size_t>(x.row_size());
        for (int64_t t = 0; t < x.rows(); ++t) {
          sums[layer].add(relative_error({x.row(t), width}, {y.row(t), width}));
        }
      });
    }
    if (progress && !progress(window + 1, windows.count())) {
      throw Error(ErrorCode::kInterrupted,
                  fmt::format("layers' errors: stopped after {} of {} windows", window + 1,
                              windows.count()));
    }
  }
  std::vector<LayerError> result;
  for (const Sums& sum : sums) result.push_back(sum.result());
  return result;
}

}  // namespace mica
