#include "lib/model/weights.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

class Binder {
 public:
  Binder(FindWeight find, std::string_view name) : find_(std::move(find)), name_(name) {}

  // [rows, cols], which the file must have.
  Weight matrix(Role role, int layer, int64_t rows, int64_t cols) {
    return find(role, layer, rows, cols);
  }

  // Norms and biases, f32: [size].
  View<const float> vector(Role role, int layer, int64_t size, bool present = true) {
    if (!present) return {};
    const Weight weight = find(role, layer, 1, size);
    if (weight.dtype != kF32) {
      fail(role, layer, fmt::format("expected f32, file has {}", dtype_name(weight.dtype)));
    }
    return {reinterpret_cast<const float*>(weight.data), size};
  }

  // Whether all layers have the biases of which `first` is one, or else none has.
  bool has(Presence presence, Role first) const {
    return presence == Presence::kAlways ||
           (presence == Presence::kOptional && find_(first, 0).present());
  }

  // Projections of one input share its quantized form.
  void require_one_group(int layer, Role role, const Weight& weight, const Weight& first) const {
    if (weight.dtype.group == first.dtype.group) return;
    fail(role, layer,
         fmt::format("expected group {} as the other projections of its input, file has {}",
                     first.dtype.group, weight.dtype.group));
  }

  // Of the tensors found so far: refuses all others of `file`.
  void refuse_others(const MicaFile& file, const Architecture& architecture) {
    std::sort(found_.begin(), found_.end());
    for (const TensorRecord& record : file.tensors()) {
      if (record.expert == kNoExpert &&
          std::binary_search(found_.begin(), found_.end(), std::pair(record.role, record.layer))) {
        continue;
      }
      throw Error(ErrorCode::kInvalidFile,
                  fmt::format("{}: tensor '{}': expected no such tensor in a model of "
                              "architecture '{}' as its metadata describes it, file has [{}, {}]",
                              name_, record.name, architecture.name, record.rows, record.cols));
    }
  }

 private:
  Weight find(Role role, int layer, int64_t rows, int64_t cols) {
    const Weight weight = find_(role, layer);
    if (!weight.present()) {
      fail(role, layer, fmt::format("expected [{}, {}], file has none", rows, cols));
    }
    if (weight.rows != rows || weight.cols != cols) {
      fail(role, layer,
           fmt::format("expected [{}, {}], file has [{}, {}]", rows, cols, weight.rows,
                       weight.cols));
    }
    found_.emplace_back(role, layer);
    return weight;
  }

  [[noreturn]] void fail(Role role, int layer, const std::string& rest) const {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: tensor '{}': {}", name_, tensor_name(role, layer), rest));
  }

  const FindWeight find_;
  const std::string name_;
  std::vector<std::pair<Role, int>> found_;
};

// Binds the tensors of one model; kNoLayer for those outside of layers.
class ModelBinder {
 public:
  ModelBinder(FindWeight find, std::string_view name, const ModelConfig& config,
              const Architecture& architecture)
      : binder_(std::move(find), name), config_(config), arch_(architecture) {}

  ModelWeights bind(const MicaFile& file) {
    const int64_t v = config_.vocabulary_size, d = config_.hidden_size;
    ModelWeights weights;
    weights.embedding = binder_.matrix(Role::kTokenEmbedding, kNoLayer, v, d);
    weights.output_norm = norm(Role::kOutputNorm, Role::kOutputNormBias, kNoLayer);
    weights.head =
        config_.tied_embeddings ? weights.embedding : binder_.matrix(Role::kHead, kNoLayer, v, d);
    for (int layer = 0; layer < config_.layers; ++layer) {
      weights.layers.push_back(bind_layer(layer));
    }
    weights.traits = traits_of(weights);
    binder_.refuse_others(file, arch_);
    return weights;
  }

  LayerWeights bind_layer(int layer) {
    LayerWeights w;
    bind_attention(w, layer);
    bind_feed_forward(w, layer);
    return w;
  }

 private:
  void bind_attention(LayerWeights& w, int layer) {
    const int64_t d = config_.hidden_size, e = config_.head_size;
    const int64_t q_rows = config_.heads * e, kv_rows = config_.kv_heads * e;
    if (arch_.norms_before) w.attn_norm = norm(Role::kAttnNorm, Role::kAttnNormBias, layer);
    w.q = binder_.matrix(Role::kAttnQ, layer, q_rows, d);
    w.k = binder_.matrix(Role::kAttnK, layer, kv_rows, d);
    w.v = binder_.matrix(Role::kAttnV, layer, kv_rows, d);
    w.attn_out = binder_.matrix(Role::kAttnOut, layer, d, q_rows);
    const bool has_biases = binder_.has(arch_.qkv_bias, Role::kAttnQBias);
    w.q_bias = binder_.vector(Role::kAttnQBias, layer, q_rows, has_biases);
    w.k_bias = binder_.vector(Role::kAttnKBias, layer, kv_rows, has_biases);
    w.v_bias = binder_.vector(Role::kAttnVBias, layer, kv_rows, has_biases);
    w.attn_out_bias = binder_.vector(Role::kAttnOutBias, layer, d,
                                     binder_.has(arch_.attention_out_bias, Role::kAttnOutBias));
    if (arch_.qk_norm != QkNorm::kNone) {
      const bool each = arch_.qk_norm == QkNorm::kEachHead;
      w.q_norm = rms_norm(Role::kAttnQNorm, layer, each ? e : q_rows);
      w.k_norm = rms_norm(Role::kAttnKNorm, layer, each ? e : kv_rows);
    }
    if (arch_.norms_after) w.attn_post_norm = rms_norm(Role::kAttnPostNorm, layer, d);
    binder_.require_one_group(layer, Role::kAttnK, w.k, w.q);
    binder_.require_one_group(layer, Role::kAttnV, w.v, w.q);
  }

  void bind_feed_forward(LayerWeights& w, int layer) {
    const int64_t d = config_.hidden_size, f = config_.feed_forward_size;
    if (arch_.norms_before) w.ffn_norm = norm(Role::kFfnNorm, Role::kFfnNormBias, layer);
    w.up = binder_.matrix(Role::kFfnUp, layer, f, d);
    const bool has_biases = binder_.has(arch_.feed_forward_bias, Role::kFfnUpBias);
    w.up_bias = binder_.vector(Role::kFfnUpBias, layer, f, has_biases);
    if (arch_.gated) {
      w.gate = binder_.matrix(Role::kFfnGate, layer, f, d);
      w.gate_bias = binder_.vector(Role::kFfnGateBias, layer, f, has_biases);
      binder_.require_one_group(layer, Role::kFfnUp, w.up, w.gate);
    }
    w.down = binder_.matrix(Role::kFfnDown, layer, d, f);
    w.down_bias = binder_.vector(Role::kFfnDownBias, layer, d, has_biases);
    if (arch_.norms_after) w.ffn_post_norm = rms_norm(Role::kFfnPostNorm, layer, d);
  }

  // Of the architecture's kind, [D].
  Norm norm(Role weight, Role bias, int layer) {
    const int64_t d = config_.hidden_size;
    return {.kind = arch_.norm,
            .weight = binder_.vector(weight, layer, d),
            .bias = binder_.vector(bias, layer, d, arch_.norm_biases),
            .epsilon = config_.norm_epsilon};
  }

  Norm rms_norm(Role weight, int layer, int64_t size) {
    return {.weight = binder_.vector(weight, layer, size), .epsilon = config_.norm_epsilon};
  }

  Binder binder_;
  const ModelConfig& config_;
  const Architecture& arch_;
};

}  // namespace

ModelWeights bind_weights(const MicaFile& file, const ModelConfig& config,
                          const Architecture& architecture) {
  const auto find = [&](Role role, int layer) {
    const TensorRecord* record = file.find(role, layer);
    if (record == nullptr) return Weight{};
    return Weight{.dtype = record->dtype,
                  .rows = static_cast<int64_t>(record->rows),
                  .cols = static_cast<int64_t>(record->cols),
                  .data = file.data(*record).data(),
                  .slab_stride = record->slab_stride};
  };
  return ModelBinder(find, file.path(), config, architecture).bind(file);
}

LayerWeights bind_layer(const FindWeight& find, std::string_view name, const ModelConfig& config,
                        const Architecture& architecture, int layer) {
  return ModelBinder(find, name, config, architecture).bind_layer(layer);
}

WeightTraits traits_of(const ModelWeights& weights) {
  const auto is_float = [](const Weight& weight) {
    return weight.present() && weight.dtype.layout == TensorLayout::kRows;
  };
  WeightTraits traits{.float_products = is_float(weights.head)};
  for (const LayerWeights& w : weights.layers) {
    traits.post_norms |= w.attn_post_norm.present();
    for (const Weight* matrix : {&w.q, &w.k, &w.v, &w.attn_out, &w.gate, &w.up, &w.down})
      traits.float_products |= is_float(*matrix);
  }
  return traits;
}

}  // namespace mica
