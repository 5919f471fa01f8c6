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

// A model of the one layer.
ModelConfig alone(const ModelConfig& config, int layer) {
  ModelConfig one = config;
  one.layers = 1;
  one.embedding_scale = 1;
  one.windowed_layers = {config.windowed_layers[layer]};
  one.rope_layers = {config.rope_layers[layer]};
  return one;
}

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

void CalibrationPass::run(int index, const LayerWeights& weights, const InputTap& tap, bool advance,
                          const std::function<void()>& between) {
  const int64_t size = config_.hidden_size;
  const int64_t together = this->together();
  const ModelConfig one = alone(config_, index);
  // Steps take their rows from the stream as from an embedding.
  ModelWeights model{.embedding = {.dtype = kF32,
                                   .rows = together * context_,
                                   .cols = size,
                                   .slab_stride = static_cast<uint64_t>(size) * sizeof(float)},
                     .layers = {weights}};
  model.traits = traits_of(model);
  const KvLayout layout{
      .type = KvType::kF16, .kv_heads = config_.kv_heads, .head_size = config_.head_size};
  const int64_t blocks = together * KvPool::blocks_for(context_);
  std::unique_lock lock = engine_.lock();
  std::optional<TapBackend> watching;
  if (tap.show) watching.emplace(engine_.backend(), model.layers.front().*tap.weight, tap.show);
  Backend& backend = watching ? *watching : engine_.backend();
  const auto decoder = make_decoder(
      backend, one, model,
      {.name = config_.name,
       .use = "calibration",
       .bytes_beside = KvPool::bytes_of(1, layout, blocks),
       .limits = {.tokens = together * context_, .logit_rows = 0, .context = context_}});
  KvPool pool(engine_.backend(), 1, layout, blocks);
  std::deque<KvSequence> sequences;
  for (int64_t i = 0; i < together; ++i) sequences.emplace_back(pool).resize(context_);
  for (int64_t first = 0; first < tokens_; first += together * context_) {
    const int64_t tokens = std::min(together * context_, tokens_ - first);
    std::vector<BatchSegment> segments;
    for (int64_t row = 0; row < tokens; row += context_) {
      segments.push_back({.first_row = row,
                          .tokens = context_,
                          .first_position = 0,
                          .blocks = sequences[row / context_].blocks()});
    }
    std::vector<int32_t> rows(static_cast<size_t>(tokens));
    std::iota(rows.begin(), rows.end(), 0);
    model.embedding.data = reinterpret_cast<const std::byte*>(&stream_[first * size]);
    (void)decoder->forward(rows, segments, pool, {0, tokens});
    if (advance) std::copy_n(decoder->residual().data(), tokens * size, &stream_[first * size]);
    lock.unlock();
    between();
    lock.lock();
  }
}

}  // namespace mica
