#include "tests/formats/gguf_samples.h"

#include <algorithm>
#include <stdexcept>

#include "formats/gguf_blocks.h"
#include "lib/base/half.h"

namespace mica::testing {
namespace {

std::string padding(size_t bytes, uint64_t alignment) {
  return std::string((alignment - bytes % alignment) % alignment, '\0');
}

// `count` weights; `next` is the value of the first one.
std::string weights(uint32_t type, uint64_t count, float& next) {
  const GgufType& facts = *find_gguf_type(type);
  std::string data;
  for (uint64_t i = 0; i < count / facts.block_weights; ++i) {
    if (type == kTensorF32) {
      data += raw(next++);
    } else if (type == kTensorF16) {
      data += raw(f32_to_f16(next++));
    } else {
      std::string block(facts.block_bytes, '\0');
      for (size_t j = 0; j < block.size(); ++j) block[j] = static_cast<char>(i * 7 + j * 13);
      // Every type used here begins with its scale; the minimum of Q4_1 follows.
      for (int j = 0; j < (type == kTensorQ4_1 ? 2 : 1); ++j)
        block.replace(2 * j, 2, raw(f32_to_f16(0.5f)));
      data += block;
    }
  }
  return data;
}

}  // namespace

std::string gguf_string(std::string_view text) {
  return raw(uint64_t{text.size()}) + std::string(text);
}

std::string gguf_strings(const std::vector<std::string>& elements) {
  std::string value = raw(kGgufString) + raw(uint64_t{elements.size()});
  for (const std::string& element : elements) value += gguf_string(element);
  return value;
}

std::string gguf_int32s(const std::vector<int32_t>& elements) {
  std::string value = raw(kGgufInt32) + raw(uint64_t{elements.size()});
  for (const int32_t element : elements) value += raw(element);
  return value;
}

std::string gguf_float32s(const std::vector<float>& elements) {
  std::string value = raw(kGgufFloat32) + raw(uint64_t{elements.size()});
  for (const float element : elements) value += raw(element);
  return value;
}

void GgufSample::set(const std::string& key, uint32_t type, const std::string& value) {
  for (Key& known : keys) {
    if (known.name == key) {
      known = {key, type, value};
      return;
    }
  }
  keys.push_back({key, type, value});
}

void GgufSample::remove(const std::string& key) {
  std::erase_if(keys, [&](const Key& known) { return known.name == key; });
}

GgufSample::Tensor& GgufSample::tensor(const std::string& name) {
  for (Tensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

void GgufSample::remove_tensor(const std::string& name) {
  std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.name == name; });
}

std::string GgufSample::header() const {
  std::string bytes = magic + raw(version) + raw(tensor_count.value_or(tensors.size())) +
                      raw(key_count.value_or(keys.size()));
  for (const Key& key : keys) bytes += gguf_string(key.name) + raw(key.type) + key.value;
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    bytes += gguf_string(tensor.name);
    bytes += raw(tensor.dimensions.value_or(static_cast<uint32_t>(tensor.dims.size())));
    for (const uint64_t dim : tensor.dims) bytes += raw(dim);
    bytes += raw(tensor.type) + raw(tensor.offset.value_or(offset));
    offset += tensor.data.size() + padding(tensor.data.size(), alignment).size();
  }
  return bytes + padding(bytes.size(), alignment);
}

std::string GgufSample::bytes() const {
  std::string bytes = header();
  for (const Tensor& tensor : tensors) {
    bytes += tensor.data + padding(tensor.data.size(), alignment);
  }
  return bytes;
}

GgufSample tiny_gguf(const TinyGguf& shape) {
  GgufSample sample;
  const std::string& arch = shape.architecture;
  const uint64_t d = shape.hidden_size, kv = d / shape.heads * shape.kv_heads;
  sample.set("general.architecture", arch.c_str());
  sample.set("general.name", "Tiny");
  sample.set(arch + ".block_count", static_cast<uint32_t>(shape.layers));
  sample.set(arch + ".context_length", 64u);
  sample.set(arch + ".embedding_length", static_cast<uint32_t>(d));
  sample.set(arch + ".feed_forward_length", static_cast<uint32_t>(d));
  sample.set(arch + ".attention.head_count", static_cast<uint32_t>(shape.heads));
  sample.set(arch + ".attention.head_count_kv", static_cast<uint32_t>(shape.kv_heads));
  sample.set(arch + ".attention.layer_norm_rms_epsilon", 1e-5f);
  sample.set(arch + ".rope.freq_base", 10000.0f);
  sample.set("tokenizer.ggml.model", "gpt2");
  sample.set("tokenizer.ggml.pre", "smollm");
  sample.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings({"a", "b", "ab", "<s>"}));
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({1, 1, 1, 3}));
  sample.set("tokenizer.ggml.merges", kGgufArray, gguf_strings({"a b"}));
  sample.set("tokenizer.ggml.bos_token_id", 3u);
  sample.set("tokenizer.ggml.eos_token_id", 3u);
  float next = 0;
  const auto add = [&](const std::string& name, std::vector<uint64_t> dims) {
    const uint32_t type = dims.size() == 1 ? kTensorF32 : shape.matrix_type;
    const uint64_t count = dims[0] * (dims.size() == 1 ? 1 : dims[1]);
    sample.tensors.push_back({name, std::move(dims), type, weights(type, count, next), {}, {}});
  };
  add("token_embd.weight", {d, 4});
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    add(prefix + "attn_norm.weight", {d});
    add(prefix + "attn_q.weight", {d, d});
    add(prefix + "attn_k.weight", {d, kv});
    add(prefix + "attn_v.weight", {d, kv});
    if (arch == "qwen2") {
      add(prefix + "attn_q.bias", {d});
      add(prefix + "attn_k.bias", {kv});
      add(prefix + "attn_v.bias", {kv});
    }
    add(prefix + "attn_output.weight", {d, d});
    add(prefix + "ffn_norm.weight", {d});
    add(prefix + "ffn_gate.weight", {d, d});
    add(prefix + "ffn_up.weight", {d, d});
    add(prefix + "ffn_down.weight", {d, d});
  }
  add("output_norm.weight", {d});
  if (!shape.tied) add("output.weight", {d, 4});
  return sample;
}

}  // namespace mica::testing
