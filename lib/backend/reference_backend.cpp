#include "lib/backend/reference_backend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "lib/backend/plain_norm.h"
#include "lib/backend/reference_product.h"
#include "lib/base/error.h"
#include "lib/base/half.h"
#include "quant/activations.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

class HostBuffer final : public DeviceBuffer {
 public:
  explicit HostBuffer(uint64_t bytes) : bytes_(bytes), storage_(bytes + kAlignment - 1) {}
  std::byte* data() const override {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return const_cast<std::byte*>(storage_.data()) + (-address & (kAlignment - 1));
  }
  uint64_t bytes() const override { return bytes_; }

 private:
  static constexpr uint64_t kAlignment = 256;
  uint64_t bytes_;
  std::vector<std::byte> storage_;
};

// The rows' norm; the rows themselves where there is none.
std::vector<float> normalize(View<const float> x, const Norm& norm) {
  std::vector<float> out(x.data(), x.data() + x.size());
  if (!norm.present()) return out;
  for (int64_t t = 0; t < x.rows(); ++t) {
    normalize_row(norm, x.row(t), x.row_size(), &out[t * x.row_size()]);
  }
  return out;
}

void add_bias(std::vector<float>& y, View<const float> bias) {
  if (bias.empty()) return;
  for (size_t i = 0; i < y.size(); ++i) y[i] += bias.data()[i % bias.size()];
}

float activate(float value, Activation activation) {
  const double x = value;
  switch (activation) {
    case Activation::kSilu:
      return static_cast<float>(x / (1 + std::exp(-x)));
    case Activation::kGelu:
      return static_cast<float>(x / 2 * std::erfc(-x / std::numbers::sqrt2));
    case Activation::kGeluTanh: {
      const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
      return static_cast<float>(x / (1 + std::exp(-2 * inner)));
    }
  }
  return value;
}

double soft_cap(double x, double cap) {
  return cap == 0 ? x : cap * std::tanh(x / cap);
}

// Channel c of position p (of 16) in a head's keys or values of one block.
int64_t key_index(const KvLayout& layout, int64_t p, int64_t c) {
  const int64_t channels = 4 / layout.element_bytes();  // in the 4 bytes a line gives a position
  return (c / channels * kKvBlockTokens + p) * channels + c % channels;
}
int64_t value_index(const KvLayout& layout, int64_t p, int64_t c) {
  return p * layout.head_size + c;
}

template <class T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

// What distinguishes keys from values.
struct Part {
  int64_t (*index)(const KvLayout& layout, int64_t p, int64_t c);
  int bias;  // of int8 codes
};
constexpr Part kKeys{key_index, 128}, kValues{value_index, 0};

// x: [E], stored for position p.
void store_channels(const KvLayout& layout, const Part& kind, const float* x, int64_t p,
                    std::byte* part) {
  const int64_t size = layout.head_size;
  std::vector<int8_t> codes(size);
  if (layout.type == KvType::kInt8) {
    float scale;
    quantize_activations(x, size, static_cast<int>(size), codes.data(), &scale);
    std::memcpy(part + layout.elements_bytes() + p * 4, &scale, 4);
  }
  for (int64_t c = 0; c < size; ++c) {
    const uint16_t f16 = f32_to_f16(x[c]), bf16 = f32_to_bf16(x[c]);
    const auto code = static_cast<uint8_t>(codes[c] + kind.bias);
    const void* element = layout.type == KvType::kF16    ? static_cast<const void*>(&f16)
                          : layout.type == KvType::kBF16 ? &bf16
                          : layout.type == KvType::kF32  ? x + c
                                                         : static_cast<const void*>(&code);
    const int64_t bytes = layout.element_bytes();
    std::memcpy(part + kind.index(layout, p, c) * bytes, element, bytes);
  }
}

// Channel c of position p.
double load_channel(const KvLayout& layout, const Part& kind, const std::byte* part, int64_t p,
                    int64_t c) {
  const std::byte* from = part + kind.index(layout, p, c) * layout.element_bytes();
  switch (layout.type) {
    case KvType::kF16:
      return f16_to_f32(read<uint16_t>(from));
    case KvType::kBF16:
      return bf16_to_f32(read<uint16_t>(from));
    case KvType::kF32:
      return read<float>(from);
    case KvType::kInt8:
      return double{read<float>(part + layout.elements_bytes() + p * 4)} *
             static_cast<int8_t>(read<uint8_t>(from) - kind.bias);
  }
  return 0;
}

// x: [heads, E], its first `pairs` and next `pairs` channels of each head in pairs.
void rotate(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine,
            int64_t pairs) {
  for (int64_t h = 0; h < heads; ++h, x += head_size) {
    for (int64_t i = 0; i < pairs; ++i) {
      const double a = x[i], b = x[i + pairs], c = cosine[i], s = sine[i];
      x[i] = static_cast<float>(a * c - b * s);
      x[i + pairs] = static_cast<float>(b * c + a * s);
    }
  }
}

class ReferenceBackend final : public Backend {
 public:
  explicit ReferenceBackend(Activations activations) : activations_(activations) {}

  std::string name() const override { return "reference"; }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    return std::make_unique<HostBuffer>(bytes);
  }
  uint64_t reserve(const StepLimits&) override { return 0; }  // every operation allocates
  uint64_t measure(const StepLimits&) const override { return 0; }
  void require(const DType& dtype) override;

  void embed(const EmbedArgs& args) override;
  void norm_linear(const NormLinearArgs& args) override;
  void gated_linear(const GatedLinearArgs& args) override;
  void linear_add(const LinearAddArgs& args) override;
  void norm_add(const NormAddArgs& args) override;
  void rope_store_kv(const RopeStoreArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void logits(const LogitsArgs& args) override;

 private:
  // normalized input * weight^T + bias
  std::vector<float> project(const std::vector<float>& x, const Weight& weight,
                             View<const float> bias) const {
    const auto tokens = static_cast<int64_t>(x.size()) / weight.cols;
    std::vector<float> y = multiply({x.data(), tokens, weight.cols}, weight, activations_);
    add_bias(y, bias);
    return y;
  }

  Activations activations_;
};

void ReferenceBackend::require(const DType& dtype) {
  if (dtype == kF32 || dtype == kF16 || dtype == kBF16 || find_weight_type(dtype)) return;
  throw Error(ErrorCode::kUnsupported,
              "reference backend: expected a weight type known here, found " + dtype_name(dtype));
}

void ReferenceBackend::embed(const EmbedArgs& args) {
  for (size_t t = 0; t < args.ids.size(); ++t) {
    const int64_t within = args.ids[t] % kPanelRows;
    const std::vector<float> rows = decode_rows(*args.table, args.ids[t] - within, within + 1);
    std::transform(rows.end() - args.table->cols, rows.end(), args.out.row(t),
                   [&](float value) { return value * args.scale; });
  }
}

void ReferenceBackend::norm_linear(const NormLinearArgs& args) {
  const std::vector<float> x = normalize(args.x, args.norm);
  for (const Projection& projection : args.projections) {
    const std::vector<float> y = project(x, *projection.weight, projection.bias);
    std::copy(y.begin(), y.end(), projection.out.data());
  }
}

void ReferenceBackend::gated_linear(const GatedLinearArgs& args) {
  const std::vector<float> x = normalize(args.x, args.norm);
  std::vector<float> y = project(x, *args.up, args.up_bias);
  if (args.gate == nullptr) {
    for (size_t i = 0; i < y.size(); ++i) args.out.data()[i] = activate(y[i], args.activation);
    return;
  }
  const std::vector<float> gate = project(x, *args.gate, args.gate_bias);
  for (size_t i = 0; i < y.size(); ++i) {
    args.out.data()[i] = activate(gate[i], args.activation) * y[i];
  }
}

void ReferenceBackend::linear_add(const LinearAddArgs& args) {
  const std::vector<float> x(args.x.data(), args.x.data() + args.x.size());
  const std::vector<float> y = project(x, *args.weight, args.bias);
  float* residual = args.residual.data();
  for (size_t i = 0; i < y.size(); ++i) residual[i] = std::fma(args.scale, y[i], residual[i]);
}

void ReferenceBackend::norm_add(const NormAddArgs& args) {
  const std::vector<float> y = normalize(args.x, args.norm);
  std::copy(y.begin(), y.end(), args.x.data());
  float* residual = args.residual.data();
  for (size_t i = 0; i < y.size(); ++i) residual[i] = std::fma(args.scale, y[i], residual[i]);
}

// A row of heads: each for itself where the norm has a head's size.
void normalize_heads(float* x, int64_t size, const Norm& norm) {
  if (!norm.present()) return;
  const int64_t width = norm.weight.size();
  for (int64_t i = 0; i < size; i += width) normalize_row(norm, x + i, width, x + i);
}

void ReferenceBackend::rope_store_kv(const RopeStoreArgs& args) {
  const KvLayout& layout = args.kv.layout;
  const int64_t size = layout.head_size, pairs = args.rope.pairs();
  for (const BatchSegment& segment : args.segments) {
    for (int64_t t = 0; t < segment.tokens; ++t) {
      const int64_t row = segment.first_row + t, position = segment.first_position + t;
      normalize_heads(args.q.row(row), args.q.row_size(), args.q_norm);
      normalize_heads(args.k.row(row), args.k.row_size(), args.k_norm);
      if (pairs > 0) {
        const float* cosine = args.rope.cosine.row(row);
        const float* sine = args.rope.sine.row(row);
        rotate(args.q.row(row), args.q.dim(1), size, cosine, sine, pairs);
        rotate(args.k.row(row), layout.kv_heads, size, cosine, sine, pairs);
      }

      const int32_t block = segment.blocks[position / kKvBlockTokens];
      const int64_t p = position % kKvBlockTokens;
      for (int64_t h = 0; h < layout.kv_heads; ++h) {
        store_channels(layout, kKeys, args.k.row(row) + h * size, p, args.kv.keys(block, h));
        store_channels(layout, kValues, args.v.row(row) + h * size, p, args.kv.values(block, h));
      }
    }
  }
}

// q * scale * log2(e), as it is multiplied with keys.
std::vector<double> scaled_query(const AttentionArgs& args, const float* q) {
  const int64_t size = args.kv.layout.head_size;
  const float factor = args.scale * std::numbers::log2e_v<float>;
  std::vector<float> scaled(q, q + size);
  for (float& value : scaled) value *= factor;
  std::vector<double> query(scaled.begin(), scaled.end());
  if (args.kv.layout.type != KvType::kInt8) return query;
  std::vector<int8_t> codes(size);
  float scale;
  quantize_activations(scaled.data(), size, static_cast<int>(size), codes.data(), &scale);
  for (int64_t c = 0; c < size; ++c) query[c] = double{scale} * codes[c];
  return query;
}

// Attention of one query head to positions [first, last).
void attend(const AttentionArgs& args, const BatchSegment& segment, int64_t kv_head, int64_t first,
            int64_t last, const float* q, float* out) {
  const KvLayout& layout = args.kv.layout;
  const int64_t size = layout.head_size;
  const std::vector<double> query = scaled_query(args, q);
  std::vector<double> weights(last - first);
  for (int64_t p = first; p < last; ++p) {
    const std::byte* keys = args.kv.keys(segment.blocks[p / kKvBlockTokens], kv_head);
    double score = 0;
    for (int64_t c = 0; c < size; ++c) {
      score += query[c] * load_channel(layout, kKeys, keys, p % kKvBlockTokens, c);
    }
    weights[p - first] = soft_cap(score, args.softcap * std::numbers::log2e);
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& weight : weights) total += weight = std::exp2(weight - largest);

  std::vector<double> sums(size);
  for (int64_t p = first; p < last; ++p) {
    const std::byte* values = args.kv.values(segment.blocks[p / kKvBlockTokens], kv_head);
    for (int64_t c = 0; c < size; ++c) {
      sums[c] += weights[p - first] * load_channel(layout, kValues, values, p % kKvBlockTokens, c);
    }
  }
  for (int64_t c = 0; c < size; ++c) out[c] = static_cast<float>(sums[c] / total);
}

void ReferenceBackend::attention(const AttentionArgs& args) {
  const int64_t heads = args.q.dim(1), size = args.kv.layout.head_size;
  const int64_t queries_a_head = heads / args.kv.layout.kv_heads;
  for (const BatchSegment& segment : args.segments) {
    for (int64_t t = 0; t < segment.tokens; ++t) {
      const int64_t row = segment.first_row + t, last = segment.first_position + t + 1;
      const int64_t first = std::max<int64_t>(0, last - args.window);
      for (int64_t h = 0; h < heads; ++h) {
        attend(args, segment, h / queries_a_head, first, last, args.q.row(row) + h * size,
               args.out.row(row) + h * size);
      }
    }
  }
}

void ReferenceBackend::logits(const LogitsArgs& args) {
  std::vector<float> chosen;
  for (const int32_t row : args.rows) {
    chosen.insert(chosen.end(), args.x.row(row), args.x.row(row) + args.x.row_size());
  }
  const auto count = static_cast<int64_t>(args.rows.size());
  const std::vector<float> x = normalize({chosen.data(), count, args.x.row_size()}, args.norm);
  const std::vector<float> y =
      multiply_two_parts({x.data(), count, args.x.row_size()}, *args.head, activations_);
  std::transform(y.begin(), y.end(), args.out.data(), [&](float value) {
    return static_cast<float>(soft_cap(value * args.scale, args.softcap));
  });
}

}  // namespace

std::unique_ptr<Backend> make_reference_backend(Activations activations) {
  return std::make_unique<ReferenceBackend>(activations);
}

}  // namespace mica
