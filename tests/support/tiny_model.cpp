#include "tests/support/tiny_model.h"

#include <cmath>
#include <cstring>
#include <random>

#include "lib/base/half.h"
#include "lib/model/architecture.h"
#include "quant/weight_type.h"

namespace mica::testing {
namespace {

// Sum of uniform numbers: std::normal_distribution differs between standard libraries.
float gaussian(std::mt19937_64& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
  return static_cast<float>(sum);
}

// The tensors of an architecture.
class TinySpecs {
 public:
  explicit TinySpecs(const TinyModel& model)
      : m_(model), arch_(find_architecture(model.architecture, "tiny model")) {
    const DType embedding = parse_dtype(m_.embedding);
    const uint64_t d = m_.hidden_size, v = m_.vocabulary_size;
    add(Role::kTokenEmbedding, kNoLayer, embedding, v, d);
    add_norm(Role::kOutputNorm, Role::kOutputNormBias, kNoLayer);
    if (!m_.tied) add(Role::kHead, kNoLayer, embedding, v, d);
    for (int layer = 0; layer < m_.layers; ++layer) add_layer(layer);
  }
  std::vector<TensorSpec> take() { return std::move(specs_); }

 private:
  void add_layer(int layer) {
    const DType body = parse_dtype(m_.body);
    const uint64_t d = m_.hidden_size, f = m_.feed_forward_size, e = m_.head_size;
    const uint64_t q = m_.heads * e, kv = m_.kv_heads * e;
    if (arch_.norms_before) add_norm(Role::kAttnNorm, Role::kAttnNormBias, layer);
    if (arch_.norms_before) add_norm(Role::kFfnNorm, Role::kFfnNormBias, layer);
    if (arch_.norms_after) add_vector(Role::kAttnPostNorm, layer, d);
    if (arch_.norms_after) add_vector(Role::kFfnPostNorm, layer, d);
    if (arch_.qk_norm != QkNorm::kNone) {
      const bool each = arch_.qk_norm == QkNorm::kEachHead;
      add_vector(Role::kAttnQNorm, layer, each ? e : q);
      add_vector(Role::kAttnKNorm, layer, each ? e : kv);
    }
    add(Role::kAttnQ, layer, body, q, d);
    add(Role::kAttnK, layer, body, kv, d);
    add(Role::kAttnV, layer, body, kv, d);
    add(Role::kAttnOut, layer, body, d, q);
    if (arch_.gated) add(Role::kFfnGate, layer, body, f, d);
    add(Role::kFfnUp, layer, body, f, d);
    add(Role::kFfnDown, layer, body, d, f);
    add_vector(Role::kAttnQBias, layer, q, arch_.qkv_bias);
    add_vector(Role::kAttnKBias, layer, kv, arch_.qkv_bias);
    add_vector(Role::kAttnVBias, layer, kv, arch_.qkv_bias);
    add_vector(Role::kAttnOutBias, layer, d, arch_.attention_out_bias);
    if (arch_.gated) add_vector(Role::kFfnGateBias, layer, f, arch_.feed_forward_bias);
    add_vector(Role::kFfnUpBias, layer, f, arch_.feed_forward_bias);
    add_vector(Role::kFfnDownBias, layer, d, arch_.feed_forward_bias);
  }

  void add(Role role, int layer, const DType& dtype, uint64_t rows, uint64_t cols) {
    specs_.push_back({.role = role, .layer = layer, .dtype = dtype, .rows = rows, .cols = cols});
  }
  void add_vector(Role role, int layer, uint64_t size, Presence presence = Presence::kAlways) {
    if (presence == Presence::kNever || (presence == Presence::kOptional && !m_.biases)) return;
    add(role, layer, kF32, 1, size);
  }
  void add_norm(Role weight, Role bias, int layer) {
    add_vector(weight, layer, m_.hidden_size);
    if (arch_.norm_biases) add_vector(bias, layer, m_.hidden_size);
  }

  const TinyModel& m_;
  const Architecture& arch_;
  std::vector<TensorSpec> specs_;
};

// Norms around 1, biases of 0.5, matrices whose products keep the input's size and a half.
std::vector<float> random_weights(const TensorSpec& spec, uint64_t seed) {
  std::mt19937_64 random(seed * 1000003 + uint64_t(spec.role) * 1009 + uint64_t(spec.layer + 1));
  const bool norm = is_norm(spec.role);
  const float scale = spec.rows > 1 ? 1.5f / std::sqrt(float(spec.cols)) : norm ? 0.3f : 0.5f;
  std::vector<float> values(spec.rows * spec.cols);
  for (float& value : values) value = (norm ? 1 : 0) + scale * gaussian(random);
  return values;
}

std::vector<std::byte> encode(const TensorSpec& spec, std::vector<float> values) {
  std::vector<std::byte> bytes(tensor_bytes(spec.dtype, spec.rows, spec.cols, "tiny model"));
  if (const WeightType* type = find_weight_type(spec.dtype)) {
    values.resize(padded_rows(spec.dtype, spec.rows) * spec.cols);
    const uint64_t stride = slab_stride(spec.dtype, spec.cols, "tiny model");
    for (size_t panel = 0; panel * stride < bytes.size(); ++panel) {
      type->encode(&values[panel * kPanelRows * spec.cols], int64_t(spec.cols), spec.dtype.group,
                   &bytes[panel * stride]);
    }
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = spec.dtype == kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    if (spec.dtype == kF32) {
      std::memcpy(&bytes[i * 4], &values[i], 4);
    } else {
      std::memcpy(&bytes[i * 2], &half, 2);
    }
  }
  return bytes;
}

}  // namespace

Json tiny_metadata(const TinyModel& m) {
  return Json::object(
      {{"model",
        Json::object(
            {{"architecture", m.architecture},
             {"name", "tiny"},
             {"layers", m.layers},
             {"hidden_size", m.hidden_size},
             {"feed_forward_size", m.feed_forward_size},
             {"heads", m.heads},
             {"kv_heads", m.kv_heads},
             {"head_size", m.head_size},
             {"vocabulary_size", m.vocabulary_size},
             {"context_length", m.context_length},
             {"norm_epsilon", 1e-5},
             {"activation", "silu"},
             {"rope", Json::object({{"base", 1000.0}, {"size", m.head_size}, {"scaling", "none"}})},
             {"tied_embeddings", m.tied}})},
       {"special_tokens", Json::object({{"bos", 256}, {"eos", Json::Array{258}}})}});
}

std::string write_tiny_model(const std::string& path, const TinyModel& model) {
  std::vector<TensorSpec> specs = TinySpecs(model).take();
  if (model.change_specs) model.change_specs(specs);
  Json metadata = tiny_metadata(model);
  if (model.change_metadata) model.change_metadata(metadata);
  MicaWriter writer(path, std::move(specs), model.tokenizer_image);
  for (const TensorSpec& spec : writer.specs()) {
    std::vector<float> values = random_weights(spec, model.seed);
    if (model.change_values) model.change_values(spec, values);
    writer.begin_tensor();
    writer.write(encode(spec, std::move(values)));
    writer.end_tensor(0);
  }
  writer.finish(metadata);
  return path;
}

}  // namespace mica::testing
