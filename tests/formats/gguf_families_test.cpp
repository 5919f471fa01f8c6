// How GGUF files of each architecture differ from Llama's: hand-made metadata and tensors.
#include <doctest/doctest.h>

#include "tests/formats/gguf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

// `count` floats first, first + 1, ...
std::string floats(int count, float first) {
  std::string data;
  for (int i = 0; i < count; ++i) data += raw(first + static_cast<float>(i));
  return data;
}

// A vector of 4, or a matrix of `rows` of 4.
void add(GgufSample& sample, const std::string& name, uint64_t rows, float first = 0,
         uint64_t cols = 4) {
  std::vector<uint64_t> dims = {cols};
  if (rows > 1) dims.push_back(rows);
  sample.tensors.push_back(
      {name, std::move(dims), kTensorF32, floats(static_cast<int>(rows * cols), first), {}, {}});
}

std::string bools(const std::vector<uint8_t>& elements) {
  std::string value = raw(kGgufBool) + raw(uint64_t{elements.size()});
  for (const uint8_t element : elements) value += raw(element);
  return value;
}

ImportedModel import_sample(const GgufSample& sample) {
  const std::string bytes = sample.bytes();
  return import_gguf_bytes(bytes)->model();
}

// Members of the configuration that the tiny Llama's does not have, or has otherwise.
std::string members_beyond_llama(const GgufSample& sample) {
  const Json base = import_sample(tiny_gguf({.layers = 2})).config;
  const Json config = import_sample(sample).config;
  Json rest = Json::object();
  for (const auto& [key, value] : config.as_object()) {
    if (base[key] != value) rest[key] = value;
  }
  return rest.dump();
}

GgufSample two_layers(const char* architecture) {
  return tiny_gguf({.architecture = architecture, .layers = 2});
}

void add_each(GgufSample& sample, const char* name, uint64_t cols = 4) {
  for (const char* layer : {"blk.0.", "blk.1."}) add(sample, layer + std::string(name), 1, 0, cols);
}

GgufSample gemma(const char* architecture) {
  GgufSample sample = two_layers(architecture);
  add_each(sample, "post_attention_norm.weight");
  add_each(sample, "post_ffw_norm.weight");
  return sample;
}

// LayerNorm and plain feed-forward.
GgufSample with_biases(const char* architecture) {
  GgufSample sample = two_layers(architecture);
  const std::string arch = architecture;
  sample.remove(arch + ".attention.layer_norm_rms_epsilon");
  sample.set(arch + ".attention.layer_norm_epsilon", 1e-5f);
  for (const char* layer : {"blk.0.", "blk.1."}) {
    sample.remove_tensor(layer + std::string("ffn_gate.weight"));
  }
  for (const char* name :
       {"attn_norm.bias", "ffn_norm.bias", "attn_output.bias", "ffn_up.bias", "ffn_down.bias"}) {
    add_each(sample, name);
  }
  add(sample, "output_norm.bias", 1);
  return sample;
}

}  // namespace

TEST_CASE("windows of Llama files count where the context is longer") {
  GgufSample sample = two_layers("llama");
  sample.set("llama.attention.sliding_window", 16u);
  CHECK(members_beyond_llama(sample) == R"({"window":16})");
  sample.set("llama.attention.sliding_window", 64u);
  CHECK(members_beyond_llama(sample) == "{}");
}

TEST_CASE("Qwen3 files have norms of query and key") {
  GgufSample sample = two_layers("qwen3");
  add_each(sample, "attn_q_norm.weight", 2);
  add_each(sample, "attn_k_norm.weight", 2);
  CHECK(members_beyond_llama(sample) == R"({"architecture":"qwen3"})");
  sample.remove_tensor("blk.1.attn_k_norm.weight");
  CHECK(error_of([&] { import_sample(sample); }).message() ==
        "tiny.gguf: expected a tensor for layers.1.attn.k_norm, found none");
}

TEST_CASE("Gemma files leave out the scale of their embeddings") {
  CHECK(members_beyond_llama(two_layers("gemma")) ==
        R"({"architecture":"gemma","activation":"gelu_tanh","embedding_scale":2.0})");
}

TEST_CASE("Gemma 2 files leave out what all its models have") {
  GgufSample sample = gemma("gemma2");
  sample.set("gemma2.attention.sliding_window", 16u);
  CHECK(members_beyond_llama(sample) ==
        R"({"architecture":"gemma2","activation":"gelu_tanh","embedding_scale":2.0,)"
        R"("logits_softcap":30.0,"attention_scale":0.7071067811865475,"attention_softcap":50.0,)"
        R"("window":16,"windowed_layers":[true,false]})");
  sample.set("gemma2.attn_logit_softcapping", 20.0f);
  sample.set("gemma2.final_logit_softcapping", 10.0f);
  const Json config = import_sample(sample).config;
  CHECK(config["attention_softcap"] == Json(20.0));
  CHECK(config["logits_softcap"] == Json(10.0));
  sample.set("gemma2.attn_logit_softcapping", 0.0f);
  sample.set("gemma2.final_logit_softcapping", 0.0f);
  sample.set("gemma2.attention.scale", 0.25f);
  const Json plain = import_sample(sample).config;
  CHECK(plain["attention_softcap"].is_null());
  CHECK(plain["logits_softcap"].is_null());
  CHECK(plain["attention_scale"] == Json(0.25));
  // Norms are stored with their 1.
  const std::string bytes = sample.bytes();
  CHECK(read_floats(*import_gguf_bytes(bytes), Role::kAttnPostNorm, 0)[3] == 3);
}

TEST_CASE("Gemma 3 files have a rotary base of their own for layers with a window") {
  GgufSample sample = gemma("gemma3");
  add_each(sample, "attn_q_norm.weight", 2);
  add_each(sample, "attn_k_norm.weight", 2);
  sample.set("gemma3.attention.sliding_window", 16u);
  sample.set("gemma3.rope.freq_base", 1e6f);
  sample.set("gemma3.rope.scaling.type", "linear");
  sample.set("gemma3.rope.scaling.factor", 8.0f);
  CHECK(members_beyond_llama(sample) ==
        R"({"architecture":"gemma3_text","activation":"gelu_tanh",)"
        R"("rope":{"base":1e+06,"size":2,"scaling":"linear","factor":8.0},)"
        R"("embedding_scale":2.0,"attention_scale":0.7071067811865475,"window":16,)"
        R"("window_rope":{"base":10000.0,"size":2,"scaling":"none"}})");
  sample.set("gemma3.attention.sliding_window_pattern", kGgufArray, bools({0, 1}));
  sample.set("gemma3.rope.freq_base_swa", 500.0f);
  const Json config = import_sample(sample).config;
  CHECK(config["windowed_layers"].dump() == "[false,true]");
  CHECK(config["window_rope"]["base"] == Json(500.0));
  sample.set("gemma3.attention.sliding_window_pattern", 2u);
  CHECK(import_sample(sample).config["windowed_layers"].dump() == "[true,false]");
  sample.set("gemma3.attention.sliding_window_pattern", kGgufArray, bools({1}));
  CHECK(error_of([&] { import_sample(sample); }).message() ==
        "tiny.gguf: layers with a window: expected one entry for each of 2 layers, found 1");
  sample.set("gemma3.attention.sliding_window_pattern", kGgufArray, gguf_int32s({1, 0}));
  CHECK(error_of([&] { import_sample(sample); }).message() ==
        "tiny.gguf: key 'gemma3.attention.sliding_window_pattern': expected an array of bools, "
        "found an array of int32");
}

TEST_CASE("Phi-3 files have fused projections and factors for short and long contexts") {
  GgufSample sample = tiny_gguf({.architecture = "phi3"});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"}) {
    sample.remove_tensor("blk.0." + std::string(name) + ".weight");
  }
  add(sample, "blk.0.attn_qkv.weight", 8, 0);
  add(sample, "blk.0.ffn_up.weight", 8, 1000);
  add(sample, "rope_factors_short.weight", 1, 2, 1);
  add(sample, "rope_factors_long.weight", 1, 3, 1);
  sample.set("phi3.rope.scaling.original_context_length", 16u);
  sample.set("phi3.rope.scaling.attn_factor", 1.5f);
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  CHECK(importer->model().config["rope"].dump() ==
        R"({"base":10000.0,"size":2,"scaling":"longrope","original_context_length":16,)"
        R"("short_factors":[2.0],"long_factors":[3.0],"attention_factor":1.5})");
  CHECK(read_floats(*importer, Role::kAttnQ, 0)[4] == 4);  // in order
  CHECK(read_floats(*importer, Role::kAttnK, 0)[0] == 16);
  CHECK(read_floats(*importer, Role::kAttnV, 0)[0] == 24);
  CHECK(read_floats(*importer, Role::kFfnGate, 0)[0] == 1000);
  CHECK(read_floats(*importer, Role::kFfnUp, 0)[0] == 1016);
}

namespace {

// Ends of an answer in a file of these tokens, of which the third is the end of the text.
std::string ends_of(const std::vector<std::string>& tokens, const std::vector<int32_t>& types) {
  GgufSample sample = tiny_gguf();
  sample.set("tokenizer.ggml.tokens", kGgufArray, gguf_strings(tokens));
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s(types));
  sample.set("tokenizer.ggml.merges", kGgufArray, gguf_strings({}));
  sample.set("tokenizer.ggml.eos_token_id", 2u);
  return import_sample(sample).special_tokens["eos"].dump();
}

}  // namespace

TEST_CASE("ends of a turn that a file's keys do not name are found by their spelling") {
  CHECK(ends_of({"a", "<end_of_turn>", "<eos>", "</s>"}, {1, 3, 3, 4}) == "[2,1]");
  CHECK(ends_of({"<|end|>", "<|user|>", "<|endoftext|>", "<s>"}, {4, 3, 3, 3}) == "[2,0]");
  CHECK(ends_of({"<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<s>"}, {3, 3, 3, 3}) == "[2,0,1]");
  // What is text stays text.
  CHECK(ends_of({"<|im_end|>", "<|end|>", "<eos>", "<s>"}, {1, 3, 3, 3}) == "[2,1]");
}

TEST_CASE("tokens of Phi-3 take the white space behind them") {
  GgufSample sample = tiny_gguf({.architecture = "phi3"});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"}) {
    sample.remove_tensor("blk.0." + std::string(name) + ".weight");
  }
  add(sample, "blk.0.attn_qkv.weight", 8);
  add(sample, "blk.0.ffn_up.weight", 8);
  sample.set("tokenizer.ggml.model", "llama");
  sample.set("tokenizer.ggml.tokens", kGgufArray,
             gguf_strings({"<unk>", "<s>", "<|end|>", "</s>"}));
  sample.set("tokenizer.ggml.token_type", kGgufArray, gguf_int32s({2, 3, 3, 4}));
  sample.set("tokenizer.ggml.scores", kGgufArray, gguf_float32s({0, 0, 0, 0}));
  const auto stripping = [](const GgufSample& file) {
    std::string names;
    const ImportedModel model = import_sample(file);
    for (const Json& token : model.tokenizer_json["added_tokens"].as_array()) {
      if (token["rstrip"] == Json(true)) names += token["content"].as_string();
    }
    return names;
  };
  CHECK(stripping(sample) == "<|end|></s>");
  sample.set("tokenizer.ggml.model", "gpt2");  // Phi-4 has the architecture as well
  CHECK(stripping(sample).empty());
}

TEST_CASE("a part of each head rotated is refused where rows are interleaved") {
  GgufSample sample = tiny_gguf({.hidden_size = 8});
  sample.set("llama.rope.dimension_count", 2u);
  const Error error = error_of([&] { import_sample(sample); });
  CHECK(error.message() ==
        "tiny.gguf: key 'llama.rope.dimension_count': expected 4, the size of a head, found 2");
  CHECK(error.code() == ErrorCode::kUnsupported);
}

TEST_CASE("fused rows of quantized types are split on the grid as well") {
  GgufSample sample =
      tiny_gguf({.architecture = "llama", .matrix_type = kTensorQ8_0, .hidden_size = 64});
  const std::string whole = sample.bytes();
  GgufSample fused = sample;
  auto& q = fused.tensor("blk.0.attn_q.weight");
  q.name = "blk.0.attn_qkv.weight";
  q.dims = {64, 128};
  q.data += fused.tensor("blk.0.attn_k.weight").data + fused.tensor("blk.0.attn_v.weight").data;
  fused.remove_tensor("blk.0.attn_k.weight");
  fused.remove_tensor("blk.0.attn_v.weight");
  const std::string bytes = fused.bytes();
  const auto expected = import_gguf_bytes(whole), found = import_gguf_bytes(bytes);
  for (const Role role : {Role::kAttnQ, Role::kAttnK, Role::kAttnV}) {
    CHECK(read_floats(*found, role, 0) == read_floats(*expected, role, 0));
    GridRows a, b;
    expected->read_grid(find_tensor(*expected, role, 0), 3, 5, a);
    found->read_grid(find_tensor(*found, role, 0), 3, 5, b);
    CHECK(a.codes == b.codes);
    CHECK(a.scales == b.scales);
  }
}

TEST_CASE(
    "SmolLM3 files have their rows interleaved and no rotary embedding in each fourth layer") {
  const GgufSample sample = tiny_gguf({.architecture = "smollm3", .layers = 4, .hidden_size = 8});
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  CHECK(importer->model().config["rope_layers"].dump() == "[true,true,true,false]");
  const std::vector<float> q = read_floats(*importer, Role::kAttnQ, 0);
  CHECK(q[8] == q[0] + 16);
}

TEST_CASE("OLMo 2 files have norms behind the blocks and of all heads together") {
  GgufSample sample = two_layers("olmo2");
  for (const char* layer : {"blk.0.", "blk.1."}) {
    sample.remove_tensor(layer + std::string("attn_norm.weight"));
    sample.remove_tensor(layer + std::string("ffn_norm.weight"));
  }
  add_each(sample, "post_attention_norm.weight");
  add_each(sample, "post_ffw_norm.weight");
  add_each(sample, "attn_q_norm.weight");
  add_each(sample, "attn_k_norm.weight", 2);
  CHECK(members_beyond_llama(sample) == R"({"architecture":"olmo2"})");
  sample.set("olmo2.attention.sliding_window", 16u);
  CHECK(error_of([&] { import_sample(sample); }).message() ==
        "tiny.gguf: key 'olmo2.attention.sliding_window': OLMo 3 is not supported: expected no "
        "window");
}

TEST_CASE("scales of Granite and MiniCPM files are taken over") {
  GgufSample granite = two_layers("granite");
  granite.set("granite.attention.scale", 0.125f);
  granite.set("granite.embedding_scale", 12.0f);
  granite.set("granite.residual_scale", 0.5f);
  granite.set("granite.logit_scale", 8.0f);
  CHECK(members_beyond_llama(granite) ==
        R"({"architecture":"granite","embedding_scale":12.0,"residual_scale":0.5,)"
        R"("logits_scale":0.125,"attention_scale":0.125})");
  granite.set("granite.rope.scaling.finetuned", false);
  CHECK(error_of([&] { import_sample(granite); }).message() ==
        "tiny.gguf: key 'granite.rope.scaling.finetuned': a model without a rotary embedding is "
        "not supported: expected true, found false");

  GgufSample minicpm = two_layers("minicpm");
  minicpm.set("minicpm.embedding_scale", 10.0f);
  minicpm.set("minicpm.residual_scale", 0.25f);
  minicpm.set("minicpm.logit_scale", 4.0f);
  CHECK(members_beyond_llama(minicpm) ==
        R"({"architecture":"minicpm","embedding_scale":10.0,"residual_scale":0.25,)"
        R"("logits_scale":0.25})");
  const Json old = import_sample(two_layers("minicpm")).config;
  CHECK(old["embedding_scale"] == Json(12.0));
  CHECK(old["residual_scale"].as_number() == doctest::Approx(1.4 / 1.41421356));
  CHECK(old["logits_scale"].as_number() == doctest::Approx(64));
}

TEST_CASE("StarCoder2 files have biases and a plain feed-forward") {
  GgufSample sample = with_biases("starcoder2");
  add_each(sample, "attn_q.bias");
  add_each(sample, "attn_k.bias", 2);
  add_each(sample, "attn_v.bias", 2);
  sample.set("starcoder2.attention.sliding_window", 32u);
  CHECK(members_beyond_llama(sample) ==
        R"({"architecture":"starcoder2","activation":"gelu_tanh","window":32})");
}

TEST_CASE("GPT-NeoX files have fused projections, one behind the other") {
  GgufSample sample = with_biases("gptneox");
  sample.set("gptneox.attention.head_count_kv", 2u);
  for (const char* layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
      sample.remove_tensor(layer + std::string(name) + ".weight");
    }
    add(sample, layer + std::string("attn_qkv.weight"), 12, 0);
    add(sample, layer + std::string("attn_qkv.bias"), 1, 500, 12);
  }
  CHECK(members_beyond_llama(sample) == R"({"architecture":"gpt_neox","kv_heads":2,)"
                                        R"("activation":"gelu","parallel_residual":true})");
  sample.set("gptneox.use_parallel_residual", false);
  const std::string bytes = sample.bytes();
  const auto importer = import_gguf_bytes(bytes);
  CHECK(importer->model().config["parallel_residual"].is_null());
  CHECK(read_floats(*importer, Role::kAttnK, 1)[0] == 16);
  CHECK(read_floats(*importer, Role::kAttnVBias, 1) == std::vector<float>{508, 509, 510, 511});
}

TEST_CASE("longrope without its factors is refused, whatever the architecture") {
  GgufSample sample = tiny_gguf();
  sample.set("llama.rope.scaling.type", "longrope");
  const auto refusal = [&] { return error_of([&] { import_sample(sample); }).message(); };
  const std::string expected =
      "tiny.gguf: expected the tensors 'rope_factors_short.weight' and 'rope_factors_long.weight' "
      "of the rotary scaling 'longrope', found ";
  CHECK(refusal() == expected + "none");
  add(sample, "rope_factors_long.weight", 1, 3, 1);
  CHECK(refusal() == expected + "only one of them");
}

TEST_CASE("YaRN of GGUF files has the magnitude of llama.cpp") {
  GgufSample sample = tiny_gguf();
  sample.set("llama.rope.scaling.type", "yarn");
  sample.set("llama.rope.scaling.factor", 4.0f);
  sample.set("llama.rope.scaling.original_context_length", 32u);
  Json config = import_sample(sample).config;
  CHECK(config["rope"].dump() ==
        R"({"base":10000.0,"size":2,"scaling":"yarn","factor":4.0,"original_context_length":32,)"
        R"("attention_factor":1.138629436111989})");
  CHECK(config["context_length"] == Json(128));
  sample.set("llama.rope.scaling.yarn_attn_factor", 1.25f);
  sample.set("llama.rope.scaling.yarn_beta_fast", 16.0f);
  config = import_sample(sample).config;
  CHECK(config["rope"]["attention_factor"] == Json(1.25));
  CHECK(config["rope"]["beta_fast"] == Json(16.0));
}
