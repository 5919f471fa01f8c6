#include "tests/formats/hf_samples.h"

#include <stdexcept>

#include "formats/huggingface.h"
#include "lib/base/half.h"
#include "tests/formats/import_exercise.h"

namespace mica::testing {
namespace {

void append_float(std::string& data, const std::string& type, float value) {
  const uint16_t half = type == "F16" ? f32_to_f16(value) : f32_to_bf16(value);
  if (type == "F32") {
    data.append(reinterpret_cast<const char*>(&value), sizeof(value));
  } else {
    data.append(reinterpret_cast<const char*>(&half), sizeof(half));
  }
}

}  // namespace

SafetensorsSample::Tensor& SafetensorsSample::tensor(const std::string& name) {
  for (Tensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

std::string SafetensorsSample::header() const {
  Json header = Json::object({{"__metadata__", Json::object({{"format", "pt"}})}});
  uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    Json shape = Json::array();
    for (const int64_t dim : tensor.dims) shape.push_back(dim);
    const Json offsets = Json::Array{Json(offset), Json(offset + tensor.data.size())};
    header.as_object().emplace_back(
        tensor.name,
        Json::object({{"dtype", tensor.type}, {"shape", shape}, {"data_offsets", offsets}}));
    offset += tensor.data.size();
  }
  return header.dump();
}

std::string SafetensorsSample::bytes() const {
  std::string data;
  for (const Tensor& tensor : tensors) data += tensor.data;
  return safetensors_bytes(header(), data);
}

std::string safetensors_bytes(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + header + data;
}

SafetensorsSample tiny_safetensors(const TinyFolder& shape) {
  SafetensorsSample sample;
  float next = 0;
  const auto add = [&](const std::string& name, std::vector<int64_t> dims) {
    std::string data;
    const int64_t count = dims[0] * (dims.size() == 2 ? dims[1] : 1);
    for (int64_t i = 0; i < count; ++i) append_float(data, shape.type, next++);
    sample.tensors.push_back({name, shape.type, std::move(dims), std::move(data)});
  };
  add("model.embed_tokens.weight", {4, 4});
  for (int layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm.weight", {4});
    for (const char* name : {"q", "k", "v"}) {
      const int64_t rows = name[0] == 'q' ? 4 : 2;
      add(prefix + "self_attn." + name + "_proj.weight", {rows, 4});
      if (shape.biases) add(prefix + "self_attn." + name + "_proj.bias", {rows});
    }
    add(prefix + "self_attn.o_proj.weight", {4, 4});
    add(prefix + "post_attention_layernorm.weight", {4});
    for (const char* name : {"gate", "up", "down"})
      add(prefix + "mlp." + name + "_proj.weight", {4, 4});
  }
  add("model.norm.weight", {4});
  if (!shape.tied) add("lm_head.weight", {4, 4});
  return sample;
}

std::map<std::string, std::string> tiny_texts(const TinyFolder& shape) {
  const Json config = Json::object({{"architectures", Json::Array{Json("LlamaForCausalLM")}},
                                    {"num_hidden_layers", shape.layers},
                                    {"hidden_size", 4},
                                    {"intermediate_size", 4},
                                    {"num_attention_heads", 2},
                                    {"num_key_value_heads", 1},
                                    {"vocab_size", 4},
                                    {"max_position_embeddings", 64},
                                    {"rms_norm_eps", 1e-5},
                                    {"rope_theta", 10000.0},
                                    {"hidden_act", "silu"},
                                    {"tie_word_embeddings", shape.tied},
                                    {"bos_token_id", 0},
                                    {"eos_token_id", 3}});
  return {
      {"config.json", config.dump()},
      {"tokenizer.json",
       R"({"added_tokens":[{"id":3,"content":"<s>","special":true}],)"
       R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}})"},
      {"tokenizer_config.json",
       R"({"bos_token":null,"eos_token":"<s>","chat_template":"{{ x }}"})"},
      {"generation_config.json", R"({"eos_token_id":[2,3],"do_sample":true,"top_k":5})"},
  };
}

std::unique_ptr<Importer> import_tiny(std::map<std::string, std::string> texts,
                                      const std::string& bytes) {
  HfFolder folder;
  folder.path = folder.name = "tiny";
  folder.texts = std::move(texts);
  folder.shards.push_back(in_memory("model.safetensors", bytes));
  return import_huggingface(std::move(folder));
}

}  // namespace mica::testing
