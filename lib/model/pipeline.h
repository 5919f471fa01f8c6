// A model whose layers lie on one device or on several: consecutive parts, each with a decoder of
// its own, and the residual stream going from one to the next.
//
// With the whole model on one backend it is that backend's decoder. Otherwise the host's layers
// come first; a step makes a hop of [T, D] floats between parts. Prompts may go through the host's
// layers on the device behind them (layer_stream.h), many tokens at a time, each layer's weights
// copied once for all. One thread at a time; backends, config and weights outlive it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lib/model/decoder.h"
#include "lib/model/layer_stream.h"

namespace mica {

struct PipelinePart {
  Backend* backend = nullptr;
  const ModelWeights* weights = nullptr;  // of these layers in the backend's memory; the first part
                                          // has the embedding, the last one norm and head
  LayerRange layers;
};

// Steps of `from_tokens` and more, up to `tokens`, take the host's layers to the second part's
// device. INT64_MAX: none.
struct PipelineStreaming {
  int64_t from_tokens = INT64_MAX;
  int64_t tokens = 0;
  bool possible() const { return from_tokens != INT64_MAX; }
};

struct PipelineLimits {
  DecoderLimits step;  // of steps that are not streamed
  PipelineStreaming streaming;
};

class Pipeline {
 public:
  Pipeline(std::vector<PipelinePart> parts, const ModelConfig& config,
           const PipelineLimits& limits);

  // Limits of the decoder of part `index`.
  static DecoderLimits decoder_limits(const PipelineLimits& limits, size_t index, size_t parts);
  // Where keys and values of `parts` lie.
  static std::vector<KvPart> kv_parts(std::span<const PipelinePart> parts,
                                      const PipelineStreaming& streaming);
  // Makes room for streaming the pool's keys and values; before the first streamed step.
  void prepare_streaming(const KvPool& kv, int64_t blocks);

  // Tokens that a step may have when `tokens` are to be run.
  int64_t step_tokens(int64_t tokens) const;

  // As Decoder::forward() and logits().
  bool forward(std::span<const int32_t> ids, std::span<const BatchSegment> segments,
               const KvPool& kv, RowRange logit_rows, const CancelFlag* cancel = nullptr);
  View<const float> logits(std::span<const int32_t> rows) { return decoders_.back()->logits(rows); }

  // As Decoder::observe().
  void observe(const Decoder::Observer& observer);

 private:
  bool run_part(size_t part, const KvPool& kv, const CancelFlag* cancel);
  // Rows [0, tokens) of the residual stream, from row `first` on there.
  void hop(Decoder& from, Decoder& to, int64_t tokens, int64_t first);
  void embed_in_pieces(std::span<const int32_t> ids);

  std::vector<PipelinePart> parts_;
  PipelineLimits limits_;
  std::vector<std::unique_ptr<Decoder>> decoders_;  // one a part
  std::unique_ptr<LayerStream> stream_;
  std::unique_ptr<DeviceBuffer> passing_;  // between two devices, in the host's memory
};

}  // namespace mica
