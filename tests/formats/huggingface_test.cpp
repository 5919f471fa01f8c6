// What config.json and its companions come to, and what they are refused for.
#include <doctest/doctest.h>
#include <functional>

#include "tests/formats/hf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

using Texts = std::map<std::string, std::string>;

// Changes one member of one text; null takes it away.
void set(Texts& texts, const std::string& file, const char* key, const std::string& value) {
  Json json = Json::parse(texts[file], file);
  std::erase_if(json.as_object(), [&](const Json::Member& member) { return member.first == key; });
  if (!value.empty()) json[key] = Json::parse(value, "value");
  texts[file] = json.dump();
}

ImportedModel import_texts(const Texts& texts, const TinyFolder& shape = {}) {
  const std::string bytes = tiny_safetensors(shape).bytes();
  return import_tiny(texts, bytes)->model();
}

ImportedModel import_config(const char* key, const std::string& value,
                            const TinyFolder& shape = {}) {
  Texts texts = tiny_texts(shape);
  set(texts, "config.json", key, value);
  return import_texts(texts, shape);
}

}  // namespace

TEST_CASE("config.json becomes the model's configuration") {
  const ImportedModel model = import_texts(tiny_texts());
  CHECK(model.kind == "huggingface");
  CHECK(
      model.config.dump() ==
      R"({"architecture":"llama","name":"tiny","layers":1,"hidden_size":4,"feed_forward_size":4,)"
      R"("heads":2,"kv_heads":1,"head_size":2,"vocabulary_size":4,"context_length":64,)"
      R"("norm_epsilon":1e-05,"activation":"silu","rope":{"base":10000.0,"size":2,"scaling":"none"},)"
      R"("tied_embeddings":false})");
  CHECK(model.special_tokens.dump() == R"({"eos":[3,2]})");
  CHECK(model.generation.dump() == R"({"do_sample":true,"top_k":5})");
  CHECK(model.chat_template == "{{ x }}");
  CHECK(model.chat_template_source == "tokenizer_config.json:chat_template");
  CHECK(model.tokenizer_json["model"]["type"] == Json("BPE"));
  CHECK(model.notes.empty());
}

TEST_CASE("tensors of every float type are read, in rows and pieces") {
  for (const char* type : {"F32", "F16", "BF16"}) {
    const std::string bytes = tiny_safetensors({.type = type}).bytes();
    const auto importer = import_tiny(tiny_texts(), bytes);
    const size_t index = find_tensor(*importer, Role::kAttnQ, 0);
    CHECK(importer->model().tensors[index].is_float());
    const std::vector<float> q = read_floats(*importer, Role::kAttnQ, 0);
    for (int i = 0; i < 16; ++i) CHECK(q[i] == 16 + 4 + i);  // behind embedding and norm
    float row[4];
    importer->read_floats(index, 2, 1, row);
    CHECK(row[3] == q[2 * 4 + 3]);
    CHECK(importer->hash({}) == hash128(as_bytes(bytes)));
    CHECK(importer->source_bytes() == bytes.size());
    GridRows grid;
    CHECK(error_of([&] { importer->read_grid(index, 0, 1, grid); }).code() == ErrorCode::kUsage);
  }
}

TEST_CASE("architectures differ in their biases") {
  CHECK(import_config("architectures", R"(["Qwen2ForCausalLM"])", {.biases = true})
            .config["architecture"] == Json("qwen2"));
  CHECK(error_of([] { import_config("architectures", R"(["Qwen2ForCausalLM"])"); }).message() ==
        "tiny: expected a tensor for layers.0.attn.q_bias, found none");
  CHECK(error_of([] { import_config("attention_bias", "true", {.biases = true}); }).message() ==
        "tiny: expected a tensor for layers.0.attn.out_bias, found none");
  CHECK(error_of([] { import_config("attention_bias", "false", {.biases = true}); }).message() ==
        "tiny: tensor 'model.layers.0.self_attn.q_proj.bias': layers.0.attn.q_bias is not part of "
        "a model of "
        "architecture 'llama'");
  CHECK(error_of([] { import_config("mlp_bias", "true"); }).message() ==
        "tiny: expected a tensor for layers.0.ffn.gate_bias, found none");
}

TEST_CASE("rotary parameters are read in old and new spelling") {
  const char* llama3 =
      R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":32,"rope_theta":5000.0})";
  const std::string expected =
      R"("size":2,"scaling":"llama3","factor":8.0,"low_frequency_factor":1.0,)"
      R"("high_frequency_factor":4.0,"original_context_length":32})";
  CHECK(import_config("rope_parameters", llama3).config["rope"].dump() ==
        R"({"base":5000.0,)" + expected);
  CHECK(import_config("rope_scaling", llama3).config["rope"].dump() ==
        R"({"base":5000.0,)" + expected);
  CHECK(import_config("rope_scaling", R"({"type":"linear","factor":2})").config["rope"].dump() ==
        R"({"base":10000.0,"size":2,"scaling":"linear","factor":2.0})");
  CHECK(import_config("rope_parameters", R"({"rope_type":"default","rope_theta":7.0})")
            .config["rope"]
            .dump() == R"({"base":7.0,"size":2,"scaling":"none"})");
  CHECK(import_config("rope_theta", "").config["rope"]["base"] == Json(10000.0));
}

TEST_CASE("sizes that may be left out have transformers' defaults") {
  CHECK(import_config("head_dim", "null").config["head_size"] == Json(2));
  CHECK(import_config("rms_norm_eps", "").config["norm_epsilon"] == Json(1e-6));
  CHECK(import_config("hidden_act", "\"swish\"").config["activation"] == Json("silu"));
  CHECK(error_of([] { import_config("num_key_value_heads", "null"); }).message() ==
        "tiny: tensor 'model.layers.0.self_attn.k_proj.weight': expected [4, 4] by the "
        "configuration, "
        "file has [2, 4]");
}

TEST_CASE("the epsilon is the one that the family's norms have") {
  Texts texts = tiny_texts();
  for (const char* other : {"layer_norm_eps", "norm_epsilon"}) {
    set(texts, "config.json", other, "0.25");
  }
  CHECK(import_texts(texts).config["norm_epsilon"] == Json(1e-5));
}

TEST_CASE("a head beside tied embeddings is not used, and the notes say so") {
  const ImportedModel model = import_config("tie_word_embeddings", "true");
  CHECK(model.config["tied_embeddings"] == Json(true));
  REQUIRE(model.notes.size() == 1);
  CHECK(model.notes[0] == "tensor 'lm_head.weight' is not used: tie_word_embeddings is set");
  CHECK(import_config("tie_word_embeddings", "true", {.tied = true}).notes.empty());
  CHECK(error_of([] { import_config("tie_word_embeddings", "false", {.tied = true}); }).message() ==
        "tiny: expected a tensor for head, found none");
}

TEST_CASE("a class that is not known is refused with those that are") {
  const Error error = error_of([] { import_config("architectures", R"(["PhiForCausalLM"])"); });
  CHECK(
      error.message().starts_with("tiny/config.json: architectures: \"PhiForCausalLM\" is not "
                                  "supported; expected one of LlamaForCausalLM, "));
  CHECK(error.code() == ErrorCode::kUnsupported);
}

TEST_CASE("a configuration that cannot be honoured is refused with field and value") {
  struct BadConfig {
    const char* key;
    const char* value;
    const char* sentence;  // after "tiny/config.json: "
    ErrorCode code = ErrorCode::kUnsupported;
  };
  constexpr ErrorCode kInvalid = ErrorCode::kInvalidFile;
  const BadConfig bad[] = {
      {"architectures", "", "architectures: expected array, found null", kInvalid},
      {"hidden_act", "\"relu\"",
       "hidden_act: \"relu\" is not supported; expected one of \"silu\", \"swish\", \"gelu\", "
       "\"gelu_new\", \"gelu_fast\", \"gelu_pytorch_tanh\""},
      {"num_local_experts", "8", "num_local_experts: 8 is not supported; expected none"},
      {"rope_scaling", R"({"type":"mrope","factor":2.0})",
       "rope_scaling.rope_type: \"mrope\" is not supported; expected one of \"default\", "
       "\"linear\", "
       "\"dynamic\", \"yarn\", \"longrope\", \"llama3\""},
      {"rope_parameters", R"({"rope_type":7})",
       "rope_parameters.rope_type: expected string, found integer", kInvalid},
      {"rope_parameters", R"({"rope_type":"default","mrope_section":[1,1]})",
       "rope_parameters.mrope_section: this array is not supported; expected no such setting"},
      {"rope_parameters", R"({"full_attention":{"rope_type":"default"},"chunked":{}})",
       "rope_parameters.chunked: this object is not supported; expected no such setting"},
      {"rope_parameters", R"({"full_attention":{"rope_type":"ntk"}})",
       "rope_parameters.full_attention.rope_type: \"ntk\" is not supported; expected one of "
       "\"default\", \"linear\", \"dynamic\", \"yarn\", \"longrope\", \"llama3\""},
      {"rope_scaling", R"({"type":"linear"})", "rope_scaling.factor: expected number, found null",
       kInvalid},
      {"rope_scaling", R"({"type":"linear","factor":0})",
       "factor of the rotary scaling: expected 0.001 to 1000000, found 0", kInvalid},
      {"rope_scaling", R"({"type":"longrope","short_factor":[1],"long_factor":"x"})",
       "rope_scaling.long_factor: expected array, found string", kInvalid},
      {"rope_scaling", R"({"type":"longrope","short_factor":[1],"long_factor":[1,2]})",
       "long_factor of the rotary scaling: expected 1 numbers, half of the rotated channels, found "
       "2",
       kInvalid},
      {"rope_scaling", R"({"type":"yarn","factor":2,"beta_slow":-1})",
       "beta_slow of the rotary scaling: expected 1e-06 to 1000000, found -1", kInvalid},
      {"rope_scaling",
       R"({"type":"llama3","factor":8,"low_freq_factor":4,"high_freq_factor":4,"original_max_position_embeddings":1})",
       "high_freq_factor of the rotary scaling: expected 4.004 to 10000000, found 4", kInvalid},
      {"partial_rotary_factor", "0.5",
       "channels of the rotary embedding: expected an even number, found 1", kInvalid},
      {"partial_rotary_factor", "1.5",
       "partial_rotary_factor: 1.5 is not supported; expected a number above 0 and up to 1"},
      {"num_hidden_layers", "\"1\"", "num_hidden_layers: expected integer, found string", kInvalid},
      {"num_hidden_layers", "-1",
       "num_hidden_layers: number of layers: expected 1 to 4096, found -1", kInvalid},
      {"num_attention_heads", "0",
       "num_attention_heads: expected a divisor of hidden_size, which is 4, found 0", kInvalid},
      {"num_attention_heads", "3",
       "num_attention_heads: expected a divisor of hidden_size, which is 4, found 3", kInvalid},
      {"head_dim", "3", "head size: expected an even number, found 3", kInvalid},
      {"hidden_size", "9223372036854775807",
       "num_attention_heads: expected a divisor of hidden_size, which is 9223372036854775807, "
       "found 2",
       kInvalid},
      {"rms_norm_eps", "-1", "epsilon of the norms: expected a positive number, found -1",
       kInvalid},
      {"vocab_size", "", "vocab_size: expected integer, found null", kInvalid},
      {"eos_token_id", "true", "eos_token_id: expected integer, found boolean", kInvalid},
      {"eos_token_id", "[3,4]",
       "eos_token_id: expected a token below the vocabulary size of 4, found 4", kInvalid},
  };
  for (const BadConfig& entry : bad) {
    const std::string setting = std::string(entry.key) + " " + entry.value;
    CAPTURE(setting);
    Texts texts = tiny_texts();
    texts.erase("generation_config.json");
    set(texts, "config.json", entry.key, entry.value);
    const Error error = error_of([&] { import_texts(texts); });
    CHECK(error.message() == std::string("tiny/config.json: ") + entry.sentence);
    CHECK(error.code() == entry.code);
  }
}

TEST_CASE("a setting that another class computes with is refused by name") {
  const std::pair<const char*, const char*> settings[] = {
      {"final_logit_softcapping", "30.0"},
      {"attn_logit_softcapping", "50.0"},
      {"logit_scale", "0.0625"},
      {"embedding_multiplier", "12.0"},
      {"scale_emb", "12"},
      {"use_qk_norm", "true"},
      {"use_sliding_window", "true"},
      {"sliding_window", "16"},
      {"layer_types", R"(["sliding_attention"])"},
      {"no_rope_layers", "[1]"},
      {"kv_lora_rank", "512"},
      {"clip_qkv", "8.0"},
      {"use_parallel_residual", "true"}};
  for (const auto& [key, value] : settings) {
    const Error error = error_of([key = key, value = value] { import_config(key, value); });
    const std::string found = value[0] == '[' ? "this array" : value;
    CHECK(error.message() == "tiny/config.json: " + std::string(key) + ": " + found +
                                 " is not supported; expected no such setting in a model of this "
                                 "class");
    CHECK(error.code() == ErrorCode::kUnsupported);
  }
}

TEST_CASE("settings that are off or have no effect are ignored, others are told of") {
  for (const auto& setting :
       {std::pair("use_qk_norm", "false"), std::pair("sliding_window", "null"),
        std::pair("layer_types", R"(["full_attention"])"), std::pair("num_experts", "0"),
        std::pair("attention_dropout", "0.1"), std::pair("original_max_position_embeddings", "64"),
        std::pair("torch_dtype", R"("bfloat16")"),
        std::pair("rope_scaling", R"({"type":"default","attn_factor":1.0})")}) {
    CAPTURE(std::string(setting.first));
    CHECK(import_config(setting.first, setting.second).notes.empty());
  }
  const ImportedModel model = import_config("my_own_setting", "3");
  REQUIRE(model.notes.size() == 1);
  CHECK(model.notes[0] == "config.json: my_own_setting: not known here and not used");
}

TEST_CASE("quantized checkpoints are refused by the name of what made them") {
  for (const auto& [config, name] :
       {std::pair(R"({"quant_method":"gptq","bits":4})", "\"gptq\""),
        std::pair(R"({"quant_method":"awq"})", "\"awq\""),
        std::pair(R"({"quant_method":"fp8"})", "\"fp8\""),
        std::pair(R"({"quant_method":"bitsandbytes"})", "\"bitsandbytes\""),
        std::pair(R"({"load_in_4bit":true})", "\"bitsandbytes\""),
        std::pair(R"({"quant_method":"compressed-tensors"})", "\"compressed-tensors\""),
        std::pair(R"({"bits":4})", "this object")}) {
    const Error error =
        error_of([config = config] { import_config("quantization_config", config); });
    CHECK(error.message() == std::string("tiny/config.json: quantization_config: ") + name +
                                 " is not supported; expected none: convert the unquantized "
                                 "model, or a GGUF file");
    CHECK(error.code() == ErrorCode::kUnsupported);
  }
  CHECK(
      error_of([] { import_config("quantization", R"({"group_size":64,"bits":4})"); }).message() ==
      "tiny/config.json: quantization: \"MLX\" is not supported; expected none: convert the "
      "unquantized model, or a GGUF file");
  // Where config.json does not tell, names of tensors do.
  const std::string q = "model.layers.0.self_attn.q_proj";
  for (const auto& [ending, name] :
       {std::pair(".qweight", "GPTQ or AWQ"), std::pair(".weight.absmax", "bitsandbytes"),
        std::pair(".SCB", "bitsandbytes"), std::pair(".weight_packed", "compressed-tensors"),
        std::pair(".g_idx", "GPTQ"), std::pair(".scales", "GPTQ, AWQ or MLX"),
        std::pair(".biases", "MLX"), std::pair(".input_scale", "FP8 or ModelOpt"),
        std::pair(".weight_scale_inv", "FP8")}) {
    SafetensorsSample sample = tiny_safetensors();
    sample.tensor(q + ".weight").name = q + ending;
    const std::string bytes = sample.bytes();
    CHECK(error_of([&] { import_tiny(tiny_texts(), bytes); }).message() ==
          "tiny/model.safetensors: tensor '" + q + ending + "': a checkpoint quantized by " + name +
              " is not supported; expected the unquantized model, or a GGUF file");
  }
}

TEST_CASE("tensors that are missing, superfluous or of another shape or type are named") {
  struct BadTensors {
    std::function<void(SafetensorsSample&)> damage;
    const char* sentence;  // after "tiny"
  };
  const char* const q = "model.layers.0.self_attn.q_proj.weight";
  const BadTensors bad[] = {
      {[&](SafetensorsSample& s) { s.tensor(q).name = "model.layers.0.self_attn.Q_proj.weight"; },
       "/model.safetensors: tensor 'model.layers.0.self_attn.Q_proj.weight' has no place in the "
       "models that are "
       "supported"},
      {[&](SafetensorsSample& s) { s.tensor(q).name = "model.layers.9.self_attn.q_proj.weight"; },
       ": expected a tensor for layers.0.attn.q, found none"},
      {[&](SafetensorsSample& s) { s.tensor(q).name = "layers.0.self_attn.k_proj.weight"; },
       ": tensor 'model.layers.0.self_attn.k_proj.weight': expected one tensor for "
       "layers.0.attn.k, found two"},
      {[&](SafetensorsSample& s) {
         s.tensor(q).dims = {2, 8};
       },
       ": tensor 'model.layers.0.self_attn.q_proj.weight': expected [4, 4] by the configuration, "
       "file has [2, 8]"},
      {[&](SafetensorsSample& s) { s.tensor(q).dims = {16}; },
       ": tensor 'model.layers.0.self_attn.q_proj.weight': expected [4, 4] by the configuration, "
       "file has [1, 16]"},
      {[&](SafetensorsSample& s) {
         s.tensor(q).dims = {2, 2, 4};
       },
       "/model.safetensors: tensor 'model.layers.0.self_attn.q_proj.weight': expected one or two "
       "dimensions, found "
       "3"},
      {[&](SafetensorsSample& s) {
         s.tensor(q).type = "F8_E4M3";
         s.tensor(q).dims = {8, 8};
       },
       "/model.safetensors: tensor 'model.layers.0.self_attn.q_proj.weight': type F8_E4M3 is not "
       "supported; "
       "expected F32, F16 or BF16"},
  };
  for (const BadTensors& entry : bad) {
    SafetensorsSample sample = tiny_safetensors();
    entry.damage(sample);
    const std::string bytes = sample.bytes();
    CHECK(error_of([&] { import_tiny(tiny_texts(), bytes); }).message() ==
          std::string("tiny") + entry.sentence);
  }
}

TEST_CASE("buffers that follow from the configuration are skipped with a note") {
  SafetensorsSample sample = tiny_safetensors();
  sample.tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {1}, std::string(4, 0)});
  const std::string bytes = sample.bytes();
  const auto importer = import_tiny(tiny_texts(), bytes);
  REQUIRE(importer->model().notes.size() == 1);
  CHECK(importer->model().notes[0] ==
        "tensor 'model.layers.0.self_attn.rotary_emb.inv_freq' is not used");
}

TEST_CASE("special tokens come from the tokenizer's words first, then from numbers") {
  Texts texts = tiny_texts();
  set(texts, "tokenizer_config.json", "bos_token", R"({"content":"a"})");
  set(texts, "tokenizer_config.json", "pad_token", R"("b")");
  set(texts, "tokenizer_config.json", "unk_token", R"("missing")");
  set(texts, "generation_config.json", "eos_token_id", "2");
  ImportedModel model = import_texts(texts);
  CHECK(model.special_tokens.dump() == R"({"bos":0,"eos":[3,2],"pad":1})");
  REQUIRE(model.notes.size() == 1);
  CHECK(model.notes[0] ==
        "tokenizer_config.json: unk_token: 'missing' is not a token of tokenizer.json");

  texts = tiny_texts();
  texts.erase("tokenizer_config.json");
  texts.erase("generation_config.json");
  set(texts, "config.json", "pad_token_id", "-1");
  CHECK(import_texts(texts).special_tokens.dump() == R"({"bos":0,"eos":[3]})");
}

TEST_CASE("the tokenizer's own end token is the first of several") {
  Texts texts = tiny_texts();
  set(texts, "generation_config.json", "eos_token_id", "[2,1,3]");
  CHECK(import_texts(texts).special_tokens.dump() == R"({"eos":[3,2,1]})");
}

TEST_CASE("added tokens beyond the vocabulary are left out with a note") {
  // As Gemma 3 has the token of a picture in models of text.
  Texts texts = tiny_texts();
  set(texts, "tokenizer.json", "added_tokens",
      R"([{"id":4,"content":"<image>"},{"id":3,"content":"<s>"},{"id":5,"content":"<video>"}])");
  const ImportedModel model = import_texts(texts);
  CHECK(model.tokenizer_json["added_tokens"].dump() == R"([{"id":3,"content":"<s>"}])");
  REQUIRE(model.notes.size() == 1);
  CHECK(model.notes[0] ==
        "2 added tokens are left out, \"<image>\" first: their ids are not below the vocabulary "
        "size of 4");
}

TEST_CASE("chat templates are found in the order of transformers") {
  Texts texts = tiny_texts();
  set(texts, "tokenizer_config.json", "chat_template",
      R"([{"name":"tool","template":"t"},{"name":"default","template":"d"}])");
  CHECK(import_texts(texts).chat_template == "d");
  set(texts, "tokenizer_config.json", "chat_template", R"([{"name":"tool","template":"t"}])");
  ImportedModel model = import_texts(texts);
  CHECK(model.chat_template.empty());
  CHECK(model.chat_template_source.empty());
  CHECK(model.notes.size() == 1);
  texts["chat_template.jinja"] = "{{ jinja }}";
  model = import_texts(texts);
  CHECK(model.chat_template == "{{ jinja }}");
  CHECK(model.chat_template_source == "chat_template.jinja");
}

TEST_CASE("companions that cannot be right are refused") {
  struct BadText {
    const char* file;
    const char* text;
    const char* sentence;  // after "tiny/"
  };
  const BadText bad[] = {
      {"config.json", "{", "config.json: invalid JSON at byte "},
      {"config.json", "[]", "config.json: expected object, found array"},
      {"generation_config.json", "3", "generation_config.json: expected object, found integer"},
      {"generation_config.json", R"({"temperature":"hot"})",
       "generation_config.json: temperature: expected number, found string"},
      {"generation_config.json", R"({"top_k":1.5})",
       "generation_config.json: top_k: expected integer, found number"},
      {"tokenizer_config.json", R"({"eos_token":7})",
       "tokenizer_config.json: eos_token: expected string, found integer"},
      {"tokenizer_config.json", R"({"chat_template":7})",
       "tokenizer_config.json: chat_template: expected string, found integer"},
      {"chat_template.jinja", "\xff", "chat_template.jinja: expected UTF-8, found other bytes"},
      {"tokenizer.json", R"({"model":{"vocab":{"a":4}}})",
       "tokenizer.json: expected a token below the vocabulary size of 4, found 4"},
      {"tokenizer.json", R"({"added_tokens":[{"id":-1}]})",
       "tokenizer.json: added_tokens: expected a token below the vocabulary size of 4, found -1"},
  };
  for (const BadText& entry : bad) {
    Texts texts = tiny_texts();
    texts[entry.file] = entry.text;
    const Error error = error_of([&] { import_texts(texts); });
    CHECK(error.message().starts_with(std::string("tiny/") + entry.sentence));
    CHECK(error.code() == ErrorCode::kInvalidFile);
  }
}
