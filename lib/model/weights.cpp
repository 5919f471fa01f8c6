#include "lib/model/weights.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

class Binder {
 public:
  explicit Binder(const MicaFile& file) : file_(file) {}

  // [rows, cols], which the file must have.
  Weight matrix(Role role, int layer, int64_t rows, int64_t cols) {
    const TensorRecord* record = find(role, layer, rows, cols, Presence::kAlways);
    return {.dtype = record->dtype,
            .rows = rows,
            .cols = cols,
            .data = file_.data(*record).data(),
            .slab_stride = record->slab_stride};
  }

  // Norms and biases, f32: [size].
  View<const float> vector(Role role, int layer, int64_t size,
                           Presence presence = Presence::kAlways) {
    const TensorRecord* record = find(role, layer, 1, size, presence);
    if (record == nullptr) return {};
    if (record->dtype != kF32) {
      fail(role, layer, fmt::format("expected f32, file has {}", dtype_name(record->dtype)));
    }
    return {reinterpret_cast<const float*>(file_.data(*record).data()), size};
  }

  // Projections of one input share its quantized form.
  void require_one_group(int layer, Role role, const Weight& weight, const Weight& first) const {
    if (weight.dtype.group == first.dtype.group) return;
    fail(role, layer,
         fmt::format("expected group {} as the other projections of its input, file has {}",
                     first.dtype.group, weight.dtype.group));
  }

  void refuse_others(const Architecture& architecture) {
    std::sort(bound_.begin(), bound_.end());
    for (const TensorRecord& record : file_.tensors()) {
      if (std::binary_search(bound_.begin(), bound_.end(), &record)) continue;
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}: tensor '{}': expected no such tensor in a model of "
                      "architecture '{}' as its metadata describes it, file has [{}, {}]",
                      file_.path(), record.name, architecture.name, record.rows, record.cols));
    }
  }

 private:
  const TensorRecord* find(Role role, int layer, int64_t rows, int64_t cols, Presence presence) {
    const TensorRecord* record = presence == Presence::kNever ? nullptr : file_.find(role, layer);
    if (record == nullptr) {
      if (presence != Presence::kAlways) return nullptr;
      fail(role, layer, fmt::format("expected [{}, {}], file has none", rows, cols));
    }
    if (record->rows != static_cast<uint64_t>(rows) ||
        record->cols != static_cast<uint64_t>(cols)) {
      fail(role, layer,
           fmt::format("expected [{}, {}], file has [{}, {}]", rows, cols, record->rows,
                       record->cols));
    }
    bound_.push_back(record);
    return record;
  }

  [[noreturn]] void fail(Role role, int layer, const std::string& rest) const {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: tensor '{}': {}", file_.path(), tensor_name(role, layer), rest));
  }

  const MicaFile& file_;
  std::vector<const TensorRecord*> bound_;
};

LayerWeights bind_layer(Binder& binder, int layer, const ModelConfig& c, const Architecture& arch) {
  const int64_t d = c.hidden_size;
  const int64_t f = c.feed_forward_size;
  const int64_t q_rows = c.heads * c.head_size;
  const int64_t kv_rows = c.kv_heads * c.head_size;
  LayerWeights w;
  w.attn_norm = binder.vector(Role::kAttnNorm, layer, d);
  w.q = binder.matrix(Role::kAttnQ, layer, q_rows, d);
  w.k = binder.matrix(Role::kAttnK, layer, kv_rows, d);
  w.v = binder.matrix(Role::kAttnV, layer, kv_rows, d);
  w.attn_out = binder.matrix(Role::kAttnOut, layer, d, q_rows);
  w.q_bias = binder.vector(Role::kAttnQBias, layer, q_rows, arch.qkv_bias);
  w.k_bias = binder.vector(Role::kAttnKBias, layer, kv_rows, arch.qkv_bias);
  w.v_bias = binder.vector(Role::kAttnVBias, layer, kv_rows, arch.qkv_bias);
  w.attn_out_bias = binder.vector(Role::kAttnOutBias, layer, d, arch.attention_out_bias);

  w.ffn_norm = binder.vector(Role::kFfnNorm, layer, d);
  w.gate = binder.matrix(Role::kFfnGate, layer, f, d);
  w.up = binder.matrix(Role::kFfnUp, layer, f, d);
  w.down = binder.matrix(Role::kFfnDown, layer, d, f);
  w.gate_bias = binder.vector(Role::kFfnGateBias, layer, f, arch.feed_forward_bias);
  w.up_bias = binder.vector(Role::kFfnUpBias, layer, f, arch.feed_forward_bias);
  w.down_bias = binder.vector(Role::kFfnDownBias, layer, d, arch.feed_forward_bias);

  binder.require_one_group(layer, Role::kAttnK, w.k, w.q);
  binder.require_one_group(layer, Role::kAttnV, w.v, w.q);
  binder.require_one_group(layer, Role::kFfnUp, w.up, w.gate);
  return w;
}

}  // namespace

ModelWeights bind_weights(const MicaFile& file, const ModelConfig& config,
                          const Architecture& architecture) {
  Binder binder(file);
  const int64_t v = config.vocabulary_size;
  const int64_t d = config.hidden_size;
  ModelWeights weights;
  weights.embedding = binder.matrix(Role::kTokenEmbedding, kNoLayer, v, d);
  weights.output_norm = binder.vector(Role::kOutputNorm, kNoLayer, d);
  weights.head =
      config.tied_embeddings ? weights.embedding : binder.matrix(Role::kHead, kNoLayer, v, d);
  for (int layer = 0; layer < config.layers; ++layer) {
    weights.layers.push_back(bind_layer(binder, layer, config, architecture));
  }
  binder.refuse_others(architecture);
  return weights;
}

}  // namespace mica
