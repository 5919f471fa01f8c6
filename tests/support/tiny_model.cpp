#include "tests/support/tiny_model.h"

#include <cmath>
#include <cstring>
#include <random>

#include "lib/base/half.h"
#include "quant/weight_type.h"

namespace mica::testing {
namespace {

// Sum of uniform numbers: std::normal_distribution differs between standard libraries.
float gaussian(std::mt19937_64& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
  return static_cast<float>(sum);
}

std::vector<TensorSpec> tiny_specs(const TinyModel& m) {
  const DType body = parse_dtype(m.body);
  const DType embedding = parse_dtype(m.embedding);
  const uint64_t d = m.hidden_size, f = m.feed_forward_size, v = m.vocabulary_size;
  const uint64_t q = uint64_t(m.heads) * m.head_size, kv = uint64_t(m.kv_heads) * m.head_size;
  std::vector<TensorSpec> specs;
  const auto add = [&](Role role, int layer, const DType& dtype, uint64_t rows, uint64_t cols) {
    specs.push_back({.role = role, .layer = layer, .dtype = dtype, .rows = rows, .cols = cols});
  };
  add(Role::kTokenEmbedding, kNoLayer, embedding, v, d);
  add(Role::kOutputNorm, kNoLayer, kF32, 1, d);
  if (!m.tied) add(Role::kHead, kNoLayer, embedding, v, d);
  for (int layer = 0; layer < m.layers; ++layer) {
    add(Role::kAttnNorm, layer, kF32, 1, d);
    add(Role::kAttnQ, layer, body, q, d);
    add(Role::kAttnK, layer, body, kv, d);
    add(Role::kAttnV, layer, body, kv, d);
    add(Role::kAttnOut, layer, body, d, q);
    add(Role::kFfnNorm, layer, kF32, 1, d);
    add(Role::kFfnGate, layer, body, f, d);
    add(Role::kFfnUp, layer, body, f, d);
    add(Role::kFfnDown, layer, body, d, f);
    if (m.architecture != "qwen2") continue;
    add(Role::kAttnQBias, layer, kF32, 1, q);
    add(Role::kAttnKBias, layer, kF32, 1, kv);
    add(Role::kAttnVBias, layer, kF32, 1, kv);
  }
  return specs;
}

// Norms around 1, biases of 0.5, matrices whose products keep the input's size and a half.
std::vector<float> random_weights(const TensorSpec& spec, uint64_t seed) {
  std::mt19937_64 random(seed * 1000003 + uint64_t(spec.role) * 1009 + uint64_t(spec.layer + 1));
  const bool is_norm =
      spec.role == Role::kOutputNorm || spec.role == Role::kAttnNorm || spec.role == Role::kFfnNorm;
  const float scale = spec.rows > 1 ? 1.5f / std::sqrt(float(spec.cols)) : is_norm ? 0.3f : 0.5f;
  std::vector<float> values(spec.rows * spec.cols);
  for (float& value : values) value = (is_norm ? 1 : 0) + scale * gaussian(random);
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
  std::vector<TensorSpec> specs = tiny_specs(model);
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
