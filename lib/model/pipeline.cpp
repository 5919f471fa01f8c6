#include "lib/model/pipeline.h"

#include <algorithm>

namespace mica {
namespace {

std::span<std::byte> bytes_of(View<float> rows) {
  return {reinterpret_cast<std::byte*>(rows.data()), rows.size() * sizeof(float)};
}

bool is_set(const CancelFlag* cancel) {
  return cancel != nullptr && cancel->load(std::memory_order_relaxed);
}

}  // namespace

Pipeline::Pipeline(std::vector<PipelinePart> parts, const ModelConfig& config,
                   const PipelineLimits& limits)
    : parts_(std::move(parts)), limits_(limits) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    decoders_.push_back(std::make_unique<Decoder>(*parts_[i].backend, config, *parts_[i].weights,
                                                  decoder_limits(limits, i, parts_.size())));
  }
  for (size_t i = 1; i < parts_.size(); ++i) {
    if (parts_[i - 1].backend->is_host() || parts_[i].backend->is_host()) continue;
    const uint64_t bytes = decoders_[i]->residual().size() * sizeof(float);
    if (!passing_ || passing_->bytes() < bytes) passing_ = parts_[i].backend->allocate_host(bytes);
  }
}

DecoderLimits Pipeline::decoder_limits(const PipelineLimits& limits, size_t index, size_t parts) {
  DecoderLimits decoder = limits.step;
  if (index + 1 < parts) decoder.logit_rows = 0;
  if (index > 0 && limits.streaming.possible()) {
    decoder.layer_tokens = limits.step.tokens;
    decoder.tokens = std::max(limits.step.tokens, limits.streaming.tokens);
  }
  return decoder;
}

std::vector<KvPart> Pipeline::kv_parts(std::span<const PipelinePart> parts,
                                       const PipelineStreaming& streaming) {
  std::vector<KvPart> kv;
  for (const PipelinePart& part : parts)
    kv.push_back({.backend = part.backend, .layers = part.layers.count});
  if (streaming.possible()) kv.front().reached_by = parts[1].backend;
  return kv;
}

void Pipeline::prepare_streaming(const KvPool& kv, int64_t blocks) {
  if (!limits_.streaming.possible()) return;
  stream_ = std::make_unique<LayerStream>(*parts_[1].backend, *parts_[0].weights, parts_[0].layers,
                                          kv.layout(), blocks);
}

int64_t Pipeline::step_tokens(int64_t tokens) const {
  const bool streamed = stream_ && tokens >= limits_.streaming.from_tokens;
  return std::min(tokens, streamed ? limits_.streaming.tokens : limits_.step.tokens);
}

bool Pipeline::forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
                       const KvPool& kv, RowRange logit_rows, const CancelFlag* cancel) {
  const auto tokens = std::ssize(ids);
  const bool streamed = stream_ && tokens >= limits_.streaming.from_tokens;
  for (size_t i = streamed ? 1 : 0; i < parts_.size(); ++i)
    decoders_[i]->begin(tokens, segments, logit_rows);
  if (streamed) {
    embed_in_pieces(ids);
    if (!stream_->run(*decoders_[1], segments, kv, cancel)) return false;
  } else {
    decoders_[0]->embed(ids, 0);
    if (!run_part(0, kv, cancel)) return false;
  }
  for (size_t i = 1; i < parts_.size(); ++i) {
    if (i > 1 || !streamed) hop(*decoders_[i - 1], *decoders_[i], tokens, 0);
    if (!run_part(i, kv, cancel)) return false;
  }
  return true;
}

void Pipeline::observe(const Decoder::Observer& observer) {
  for (const auto& decoder : decoders_) decoder->observe(observer);
}

bool Pipeline::run_part(size_t part, const KvPool& kv, const CancelFlag* cancel) {
  const LayerRange layers = parts_[part].layers;
  for (int64_t layer = layers.first; layer < layers.end(); ++layer) {
    if (is_set(cancel)) return false;
    decoders_[part]->run_layer(layer, parts_[part].weights->layers[layer], kv.layer(layer));
  }
  return true;
}

// The embedding is the host's, whose decoder has room for fewer tokens.
void Pipeline::embed_in_pieces(std::span<const int32_t> ids) {
  for (size_t first = 0; first < ids.size();) {
    const size_t count = std::min(ids.size() - first, static_cast<size_t>(limits_.step.tokens));
    decoders_[0]->embed(ids.subspan(first, count), 0);
    hop(*decoders_[0], *decoders_[1], static_cast<int64_t>(count), static_cast<int64_t>(first));
    first += count;
  }
}

void Pipeline::hop(Decoder& from, Decoder& to, int64_t tokens, int64_t first) {
  const std::span<std::byte> source = bytes_of(from.residual().slice(0, tokens));
  const std::span<std::byte> target = bytes_of(to.residual().slice(first, tokens));
  if (from.backend().is_host()) return to.backend().upload(source, target.data());
  if (to.backend().is_host()) return from.backend().download(source.data(), target);
  const std::span<std::byte> between(passing_->data(), source.size());
  from.backend().download(source.data(), between);
  to.backend().upload(between, target.data());
}

}  // namespace mica
