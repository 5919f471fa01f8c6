#include "lib/runtime/calibration_pass.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <optional>

#include "lib/base/error.h"
#include "lib/model/kv_cache.h"
#include "lib/runtime/memory_check.h"

namespace mica {
namespace {

constexpr int64_t kStepTokens = 2048;

size_t find_embedding(const ImportedModel& model) {
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    if (model.tensors[i].role == Role::kTokenEmbedding) return i;
  }
  throw Error(ErrorCode::kInvalidFile, model.name + ": expected an embedding, source has none");
}

struct StepSize {
  int64_t windows;
  int64_t context;
};

struct Watch {
  Weight LayerWeights::*weight = nullptr;
  ShowInput show;
};

// A model of the one layer.
ModelConfig alone(const ModelConfig& config, int layer) {
  ModelConfig one = config;
  one.layers = 1;
  one.embedding_scale = 1;
  one.windowed_layers = {config.windowed_layers[layer]};
  one.rope_layers = {config.rope_layers[layer]};
  return one;
}

// Runs one layer for steps of some windows. The engine's lock is held all its life.
class LayerRunner {
 public:
  LayerRunner(const Engine& engine, const ModelConfig& config, int layer, const StepSize& size,
              const LayerWeights& weights, const Watch& watch)
      : context_(size.context),
        most_tokens_(size.windows * size.context),
        one_(alone(config, layer)),
        // Steps take their rows from the stream as from an embedding.
        model_{
            .embedding = {.dtype = kF32,
                          .rows = most_tokens_,
                          .cols = config.hidden_size,
                          .slab_stride = static_cast<uint64_t>(config.hidden_size) * sizeof(float)},
            .layers = {weights}} {
    if (watch.show) {
      tap_.emplace(engine.backend(), model_.layers.front().*watch.weight, watch.show);
    }
    const KvLayout layout{
        .type = KvType::kF16, .kv_heads = config.kv_heads, .head_size = config.head_size};
    const int64_t blocks = size.windows * KvPool::blocks_for(context_);
    decoder_ =
        make_decoder(tap_ ? *tap_ : engine.backend(), one_, model_,
                     {.name = config.name,
                      .use = "calibration",
                      .bytes_beside = KvPool::bytes_of(1, layout, blocks),
                      .limits = {.tokens = most_tokens_, .logit_rows = 0, .context = context_}});
    pool_.emplace(engine.backend(), 1, layout, blocks);
    for (int64_t i = 0; i < size.windows; ++i) sequences_.emplace_back(*pool_).resize(context_);
    rows_.resize(static_cast<size_t>(most_tokens_));
    std::iota(rows_.begin(), rows_.end(), 0);
  }
  LayerRunner(const LayerRunner&) = delete;
  LayerRunner& operator=(const LayerRunner&) = delete;

  int64_t most_tokens() const { return most_tokens_; }

  // The stream [T, D] behind the layer, whole windows; valid until the next call.
  View<const float> run(const LayerWeights& weights, View<const float> stream) {
    std::vector<BatchSegment> segments;
    for (int64_t row = 0; row < stream.rows(); row += context_) {
      segments.push_back({.first_row = row,
                          .tokens = context_,
                          .first_position = 0,
                          .blocks = sequences_[row / context_].blocks()});
    }
    model_.layers.front() = weights;
    model_.embedding.data = reinterpret_cast<const std::byte*>(stream.data());
    (void)decoder_->forward(std::span(rows_).first(stream.rows()), segments, *pool_,
                            {0, stream.rows()});
    return decoder_->residual();
  }

 private:
  const int64_t context_, most_tokens_;
  const ModelConfig one_;
  ModelWeights model_;
  std::optional<TapBackend> tap_;
  std::unique_ptr<Decoder> decoder_;
  std::optional<KvPool> pool_;
  std::deque<KvSequence> sequences_;
  std::vector<int32_t> rows_;
};

}  // namespace

CalibrationPass::CalibrationPass(const Importer& importer, const ModelConfig& config,
                                 const Engine& engine, const CalibrationWindows& windows)
    : config_(config),
      engine_(engine),
      context_(windows.context),
      tokens_(std::ssize(windows.tokens)),
      stream_(static_cast<size_t>(tokens_ * config.hidden_size)) {
  const size_t embedding = find_embedding(importer.model());
  const SourceTensor& tensor = importer.model().tensors[embedding];
  const int64_t size = config.hidden_size;
  if (tensor.cols != size || tensor.rows != config.vocabulary_size) {
    throw Error(ErrorCode::kInvalidFile, importer.model().name + ": embedding: expected [" +
                                             std::to_string(config.vocabulary_size) + ", " +
                                             std::to_string(size) + "], source has [" +
                                             std::to_string(tensor.rows) + ", " +
                                             std::to_string(tensor.cols) + "]");
  }
  for (int64_t t = 0; t < tokens_; ++t) {
    float* x = &stream_[t * size];
    importer.read_floats(embedding, windows.tokens[t], 1, x);
    for (int64_t i = 0; i < size; ++i) x[i] *= config.embedding_scale;
  }
}

int64_t CalibrationPass::together() const {
  return std::max<int64_t>(1, kStepTokens / context_);
}

int64_t CalibrationPass::steps() const {
  return (tokens_ / context_ + together() - 1) / together();
}

void CalibrationPass::advance(int index, const LayerWeights& weights,
                              const std::function<void()>& between) {
  std::unique_lock lock = engine_.lock();
  LayerRunner runner(engine_, config_, index, {.windows = together(), .context = context_}, weights,
                     {});
  for (int64_t first = 0; first < tokens_; first += runner.most_tokens()) {
    const View<const float> step = rows_from(first, runner.most_tokens());
    const View<const float> after = runner.run(weights, step);
    std::copy_n(after.data(), step.size(), &stream_[first * config_.hidden_size]);
    lock.unlock();
    between();
    lock.lock();
  }
}

void CalibrationPass::observe(int index, const LayerWeights& weights, const Other& other,
                              const InputTap& tap, const std::function<void()>& between) const {
  std::unique_lock lock = engine_.lock();
  std::vector<float> beside;
  bool is_other = false;
  const auto show = [&](const ShownInput& input) {
    if (is_other) return beside.assign(input.x.data(), input.x.data() + input.x.size());
    tap.show(input, beside.empty()
                        ? View<const float>()
                        : View<const float>(beside.data(), input.x.rows(), input.x.row_size()));
  };
  LayerRunner runner(engine_, config_, index, {.windows = together(), .context = context_}, weights,
                     {.weight = tap.weight, .show = show});
  for (int64_t first = 0; first < tokens_; first += runner.most_tokens()) {
    if (other.pass) {
      is_other = true;
      (void)runner.run(*other.weights, other.pass->rows_from(first, runner.most_tokens()));
      is_other = false;
    }
    (void)runner.run(weights, rows_from(first, runner.most_tokens()));
    lock.unlock();
    between();
    lock.lock();
  }
}

View<const float> CalibrationPass::rows_from(int64_t first, int64_t most) const {
  const int64_t size = config_.hidden_size;
  return {&stream_[first * size], std::min(most, tokens_ - first), size};
}

}  // namespace mica
