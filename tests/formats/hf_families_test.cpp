// How Hugging Face folders of each family differ from Llama's.
#include <doctest/doctest.h>

#include "tests/formats/hf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"

using namespace mica;
using namespace mica::testing;

namespace {

using Texts = std::map<std::string, std::string>;

// config.json of the tiny folder, with `members` in the place of its own or beside them.
Texts texts_with(const std::string& members) {
  Texts texts = tiny_texts();
  Json config = Json::parse(texts["config.json"], "config.json");
  const Json changes = Json::parse(members, "members");
  for (const auto& [key, value] : changes.as_object()) config[key] = value;
  texts["config.json"] = config.dump();
  return texts;
}

void rename(SafetensorsSample& sample, const std::string& from, const std::string& to) {
  for (auto& tensor : sample.tensors) {
    const size_t at = tensor.name.find(from);
    if (at != std::string::npos) tensor.name.replace(at, from.size(), to);
  }
}

// A tensor of floats first, first + 1, ...
void add(SafetensorsSample& sample, const std::string& name, std::vector<int64_t> dims,
         float first) {
  std::string data;
  const int64_t count = dims[0] * (dims.size() == 2 ? dims[1] : 1);
  for (int64_t i = 0; i < count; ++i, ++first) {
    data.append(reinterpret_cast<const char*>(&first), sizeof(first));
  }
  sample.tensors.push_back({name, "F32", std::move(dims), std::move(data)});
}

void remove(SafetensorsSample& sample, const std::string& part) {
  std::erase_if(sample.tensors, [&](const auto& t) { return t.name.find(part) != t.name.npos; });
}

constexpr const char* kLayer = "model.layers.0.";

// The tiny folder's tensors under Gemma's names of norms.
SafetensorsSample gemma_tensors() {
  SafetensorsSample sample = tiny_safetensors({.tied = true});
  rename(sample, "post_attention_layernorm", "pre_feedforward_layernorm");
  add(sample, std::string(kLayer) + "post_attention_layernorm.weight", {4}, 100);
  add(sample, std::string(kLayer) + "post_feedforward_layernorm.weight", {4}, 200);
  return sample;
}

std::string members_beyond_llama(const ImportedModel& model) {
  Json rest = Json::object();
  const Json llama = Json::parse(tiny_texts()["config.json"], "config.json");
  const std::string bytes = tiny_safetensors().bytes();
  const Json base = import_tiny(tiny_texts(), bytes)->model().config;
  for (const auto& [key, value] : model.config.as_object()) {
    if (base[key] != value) rest[key] = value;
  }
  return rest.dump();
}

std::string rope_of(const std::string& members, int64_t context = 64) {
  const std::string bytes = tiny_safetensors().bytes();
  const ImportedModel model = import_tiny(texts_with(members), bytes)->model();
  CHECK(model.config["context_length"] == Json(context));
  return model.config["rope"].dump();
}

}  // namespace

TEST_CASE("Mistral has a window where its context is longer") {
  const std::string bytes = tiny_safetensors().bytes();
  const auto window = [&](const char* members) {
    return import_tiny(texts_with(members), bytes)->model().config["window"];
  };
  CHECK(window(R"({"architectures":["MistralForCausalLM"]})").is_null());  // 4096 of 64
  CHECK(window(R"({"architectures":["MistralForCausalLM"],"sliding_window":63})") == Json(63));
  CHECK(window(R"({"architectures":["MistralForCausalLM"],"max_position_embeddings":8192})") ==
        Json(4096));
  CHECK(window(R"({"architectures":["MistralForCausalLM"],"max_position_embeddings":8192,
                   "sliding_window":null})")
            .is_null());
}

TEST_CASE("Qwen2 has a window in layers by depth or by list") {
  const std::string bytes = tiny_safetensors({.layers = 2, .biases = true}).bytes();
  const auto layers = [&](const std::string& members) {
    const std::string all = R"({"architectures":["Qwen2ForCausalLM"],"num_hidden_layers":2,
                                "sliding_window":16,)" +
                            members + "}";
    return import_tiny(texts_with(all), bytes)->model().config["windowed_layers"].dump();
  };
  CHECK(layers(R"("use_sliding_window":true,"max_window_layers":1)") == "[false,true]");
  CHECK(layers(R"("use_sliding_window":true,"max_window_layers":0)") == "null");  // all
  CHECK(
      layers(R"("use_sliding_window":true,"layer_types":["sliding_attention","full_attention"])") ==
      "[true,false]");
  CHECK(layers(R"("use_sliding_window":false,"max_window_layers":1)") == "null");
  CHECK(error_of([&] {
          layers(R"("use_sliding_window":true,"layer_types":["sliding_attention"])");
        }).message() ==
        "tiny/config.json: layers with a window: expected one entry for each of 2 layers, found 1");
  CHECK(error_of([&] {
          layers(R"("layer_types":["chunked_attention","full_attention"])");
        }).message() ==
        "tiny/config.json: layer_types: \"chunked_attention\" is not supported; expected "
        "\"full_attention\" or \"sliding_attention\"");
}

TEST_CASE("Phi-3's fused projections are split") {
  SafetensorsSample sample = tiny_safetensors();
  remove(sample, "self_attn.q_proj");
  remove(sample, "self_attn.k_proj");
  remove(sample, "self_attn.v_proj");
  remove(sample, "mlp.gate_proj");
  remove(sample, "mlp.up_proj");
  add(sample, std::string(kLayer) + "self_attn.qkv_proj.weight", {8, 4}, 0);
  add(sample, std::string(kLayer) + "mlp.gate_up_proj.weight", {8, 4}, 1000);
  const std::string bytes = sample.bytes();
  const Texts texts = texts_with(R"({"architectures":["Phi3ForCausalLM"]})");
  const auto importer = import_tiny(texts, bytes);
  CHECK(read_floats(*importer, Role::kAttnQ, 0).back() == 15);
  CHECK(read_floats(*importer, Role::kAttnK, 0) ==
        std::vector<float>{16, 17, 18, 19, 20, 21, 22, 23});
  CHECK(read_floats(*importer, Role::kAttnV, 0).front() == 24);
  CHECK(read_floats(*importer, Role::kFfnGate, 0).back() == 1015);
  CHECK(read_floats(*importer, Role::kFfnUp, 0).front() == 1016);
  float row[4];
  importer->read_floats(find_tensor(*importer, Role::kFfnUp, 0), 2, 1, row);
  CHECK(row[0] == 1024);

  sample.tensor(std::string(kLayer) + "mlp.gate_up_proj.weight").dims = {4, 8};
  const std::string bad = sample.bytes();
  CHECK(error_of([&] { import_tiny(texts, bad); }).message() ==
        "tiny/model.safetensors: tensor 'model.layers.0.mlp.gate_up_proj.weight': expected 8 rows "
        "by the configuration, found 4");
}

TEST_CASE("GPT-NeoX's query, key and value are taken out of each head") {
  SafetensorsSample sample = tiny_safetensors();
  remove(sample, "self_attn.");
  remove(sample, "mlp.");
  rename(sample, "model.embed_tokens", "model.embed_in");
  rename(sample, "model.norm", "model.final_layer_norm");
  rename(sample, "lm_head", "embed_out");
  add(sample, std::string(kLayer) + "input_layernorm.bias", {4}, 0);
  add(sample, std::string(kLayer) + "post_attention_layernorm.bias", {4}, 0);
  add(sample, "model.final_layer_norm.bias", {4}, 0);
  add(sample, std::string(kLayer) + "attention.query_key_value.weight", {12, 4}, 0);
  add(sample, std::string(kLayer) + "attention.query_key_value.bias", {12}, 500);
  for (const char* name : {"attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}) {
    add(sample, kLayer + std::string(name) + ".weight", {4, 4}, 0);
    add(sample, kLayer + std::string(name) + ".bias", {4}, 0);
  }
  add(sample, std::string(kLayer) + "attention.masked_bias", {1}, 0);
  rename(sample, "model.", "gpt_neox.");
  for (auto& tensor : sample.tensors) {
    if (tensor.name.starts_with("model.")) tensor.name.replace(0, 6, "gpt_neox.");
  }
  const std::string bytes = sample.bytes();
  const auto importer = import_tiny(texts_with(R"({"architectures":["GPTNeoXForCausalLM"],
      "num_key_value_heads":2,"head_dim":2,"rotary_pct":1.0,"rotary_emb_base":500,
      "rope_theta":null,"hidden_act":"gelu","layer_norm_eps":1e-6,"rms_norm_eps":null})"),
                                    bytes);
  CHECK(importer->model().notes.size() == 1);
  CHECK(importer->model().config["rope"]["base"] == Json(500.0));
  CHECK(importer->model().config["parallel_residual"] == Json(true));
  CHECK(importer->model().config["activation"] == Json("gelu"));
  CHECK(importer->model().config["norm_epsilon"] == Json(1e-6));
  // Rows of both heads: q 0 1, k 2 3, v 4 5; q 6 7, k 8 9, v 10 11.
  const auto first_of_rows = [&](Role role) {
    const std::vector<float> weights = read_floats(*importer, role, 0);
    return std::vector<float>{weights[0], weights[4], weights[8], weights[12]};
  };
  CHECK(first_of_rows(Role::kAttnQ) == std::vector<float>{0, 4, 24, 28});
  CHECK(first_of_rows(Role::kAttnK) == std::vector<float>{8, 12, 32, 36});
  CHECK(first_of_rows(Role::kAttnV) == std::vector<float>{16, 20, 40, 44});
  CHECK(read_floats(*importer, Role::kAttnKBias, 0) == std::vector<float>{502, 503, 508, 509});
}

TEST_CASE("settings that are not there have the defaults of the family's class in transformers") {
  const auto config_of = [](const char* name, const std::string& bytes, const char* more = "") {
    Texts texts = texts_with(R"({"architectures":[")" + std::string(name) + R"("],)" + more +
                             R"("head_dim":2})");
    Json config = Json::parse(texts["config.json"], "config.json");
    std::erase_if(config.as_object(), [](const auto& member) {
      return member.first == "rms_norm_eps" || member.first == "rope_theta";
    });
    texts["config.json"] = config.dump();
    return import_tiny(texts, bytes)->model().config;
  };
  const std::string bytes = tiny_safetensors().bytes();
  CHECK(config_of("SmolLM3ForCausalLM", bytes)["rope"]["base"] == Json(2e6));
  CHECK(config_of("SmolLM3ForCausalLM", bytes)["norm_epsilon"] == Json(1e-6));
  SafetensorsSample phi = tiny_safetensors();
  remove(phi, "self_attn.q_proj");
  remove(phi, "self_attn.k_proj");
  remove(phi, "self_attn.v_proj");
  remove(phi, "mlp.gate_proj");
  remove(phi, "mlp.up_proj");
  add(phi, std::string(kLayer) + "self_attn.qkv_proj.weight", {8, 4}, 0);
  add(phi, std::string(kLayer) + "mlp.gate_up_proj.weight", {8, 4}, 0);
  const Json found = config_of("Phi3ForCausalLM", phi.bytes(),
                               R"("max_position_embeddings":8192,"rope_scaling":{"type":"longrope",
                   "short_factor":[1],"long_factor":[2]},)");
  CHECK(found["norm_epsilon"] == Json(1e-5));
  CHECK(found["rope"]["original_context_length"] == Json(4096));
  // Without the setting Mistral has 8 heads of keys and values, not as many as of queries.
  Texts mistral = texts_with(R"({"architectures":["MistralForCausalLM"]})");
  Json config = Json::parse(mistral["config.json"], "config.json");
  std::erase_if(config.as_object(),
                [](const auto& member) { return member.first == "num_key_value_heads"; });
  mistral["config.json"] = config.dump();
  CHECK(error_of([&] { import_tiny(mistral, bytes); }).message() ==
        "tiny/config.json: number of key and value heads: expected 1 to 2, found 8");
}

TEST_CASE("Gemma's norms count from one") {
  const std::string bytes = gemma_tensors().bytes();
  const auto importer =
      import_tiny(texts_with(R"({"architectures":["Gemma2ForCausalLM"],"head_dim":2,
          "tie_word_embeddings":true,"hidden_activation":"gelu_pytorch_tanh",
          "query_pre_attn_scalar":16,"attn_logit_softcapping":50.0,"final_logit_softcapping":null,
          "sliding_window":8})"),
                  bytes);
  CHECK(read_floats(*importer, Role::kAttnPostNorm, 0) == std::vector<float>{101, 102, 103, 104});
  CHECK(read_floats(*importer, Role::kFfnPostNorm, 0)[0] == 201);
  CHECK(read_floats(*importer, Role::kTokenEmbedding, kNoLayer)[0] == 0);
  CHECK(members_beyond_llama(importer->model()) ==
        R"({"architecture":"gemma2","activation":"gelu_tanh","tied_embeddings":true,)"
        R"("embedding_scale":2.0,"attention_scale":0.25,"attention_softcap":50.0,"window":8})");
}

TEST_CASE("of a Gemma 3 that sees the text part is taken, the rest is left out with a note") {
  SafetensorsSample sample = gemma_tensors();
  add(sample, std::string(kLayer) + "self_attn.q_norm.weight", {2}, 0);
  add(sample, std::string(kLayer) + "self_attn.k_norm.weight", {2}, 0);
  Texts texts = tiny_texts();
  texts["config.json"] =
      R"({"architectures":["Gemma3ForConditionalGeneration"],"model_type":"gemma3",
          "eos_token_id":[3],"vision_config":{"hidden_size":1152},"mm_tokens_per_image":256,
          "text_config":{"hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,
            "num_attention_heads":2,"num_key_value_heads":1,"head_dim":2,"vocab_size":4,
            "sliding_window":1024,"query_pre_attn_scalar":4,
            "rope_scaling":{"rope_type":"linear","factor":8.0}}})";
  for (const char* prefix : {"language_model.model.", "model.language_model."}) {
    SafetensorsSample seeing = sample;
    rename(seeing, "model.", prefix);
    add(seeing, "vision_tower.vision_model.head.weight", {2, 2}, 0);
    add(seeing, "multi_modal_projector.mm_soft_emb_norm.weight", {2}, 0);
    const std::string bytes = seeing.bytes();
    const auto importer = import_tiny(texts, bytes);
    REQUIRE(importer->model().notes.size() == 1);
    CHECK(importer->model().notes[0] ==
          "2 tensors of the model's vision part are left out: only its text part is run");
    CHECK(members_beyond_llama(importer->model()) ==
          R"({"architecture":"gemma3_text","context_length":131072,"norm_epsilon":1e-06,)"
          R"("activation":"gelu_tanh","rope":{"base":1e+06,"size":2,"scaling":"linear",)"
          R"("factor":8.0},"tied_embeddings":true,"embedding_scale":2.0,"attention_scale":0.5,)"
          R"("window":1024,"window_rope":{"base":10000.0,"size":2,"scaling":"none"}})");
  }
}

TEST_CASE("rotary settings may differ by the kind of layer") {
  SafetensorsSample sample = gemma_tensors();
  add(sample, std::string(kLayer) + "self_attn.q_norm.weight", {2}, 0);
  add(sample, std::string(kLayer) + "self_attn.k_norm.weight", {2}, 0);
  const std::string bytes = sample.bytes();
  const ImportedModel model =
      import_tiny(texts_with(R"({"architectures":["Gemma3ForCausalLM"],"head_dim":2,
          "tie_word_embeddings":true,"hidden_act":null,"layer_types":["sliding_attention"],
          "rope_theta":null,"rope_parameters":{
            "full_attention":{"rope_type":"default","rope_theta":5000.0},
            "sliding_attention":{"rope_type":"linear","factor":2.0,"rope_theta":300.0}}})"),
                  bytes)
          ->model();
  CHECK(model.config["rope"].dump() == R"({"base":5000.0,"size":2,"scaling":"none"})");
  CHECK(model.config["window_rope"].dump() ==
        R"({"base":300.0,"size":2,"scaling":"linear","factor":2.0})");
  // The window of 4096 is longer than the context, but its layers turn otherwise.
  CHECK(model.config["window"] == Json(4096));
}

TEST_CASE("SmolLM3's layers without a rotary embedding are counted or listed") {
  const std::string bytes = tiny_safetensors({.layers = 2}).bytes();
  const auto layers = [&](const std::string& members) {
    const std::string all =
        R"({"architectures":["SmolLM3ForCausalLM"],"num_hidden_layers":2,)" + members + "}";
    return import_tiny(texts_with(all), bytes)->model().config["rope_layers"].dump();
  };
  CHECK(layers(R"("no_rope_layer_interval":2)") == "[true,false]");
  CHECK(layers(R"("no_rope_layers":[0,1])") == "[false,true]");
  CHECK(error_of([&] { layers(R"("no_rope_layers":[0,1,1])"); }).message() ==
        "tiny/config.json: layers with a rotary embedding: expected one entry for each of 2 "
        "layers, found 3");
}

TEST_CASE("scales are taken over from Granite's and MiniCPM's settings") {
  const std::string bytes = tiny_safetensors().bytes();
  CHECK(members_beyond_llama(import_tiny(texts_with(R"({"architectures":["GraniteForCausalLM"],
                "embedding_multiplier":12.0,"residual_multiplier":0.22,
                "attention_multiplier":0.0078125,"logits_scaling":8.0})"),
                                         bytes)
                                 ->model()) ==
        R"({"architecture":"granite","embedding_scale":12.0,"residual_scale":0.22,)"
        R"("logits_scale":0.125,"attention_scale":0.0078125})");
  CHECK(members_beyond_llama(
            import_tiny(texts_with(R"({"architectures":["MiniCPMForCausalLM"],"scale_emb":12,
                "scale_depth":1.5,"dim_model_base":2})"),
                        bytes)
                ->model()) ==
        R"({"architecture":"minicpm","embedding_scale":12.0,"residual_scale":1.5,)"
        R"("logits_scale":0.5})");
  CHECK(error_of([&] {
          import_tiny(texts_with(R"({"architectures":["GraniteForCausalLM"],"logits_scaling":0})"),
                      bytes);
        }).message() ==
        "tiny/config.json: scale of the logits: expected 1e-06 to 1000000, found inf");
}

TEST_CASE("YaRN's settings have transformers' defaults and make the context longer") {
  CHECK(rope_of(R"({"rope_scaling":{"type":"yarn","factor":4.0,
            "original_max_position_embeddings":64}})",
                256) == R"({"base":10000.0,"size":2,"scaling":"yarn","factor":4.0,)"
                        R"("original_context_length":64,"attention_factor":1.138629436111989})");
  CHECK(rope_of(R"({"rope_parameters":{"rope_type":"yarn","factor":4.0,"rope_theta":50.0,
            "original_max_position_embeddings":16,"attention_factor":1.0,"beta_fast":16,
            "beta_slow":2,"truncate":false}})") ==
        R"({"base":50.0,"size":2,"scaling":"yarn","factor":4.0,"original_context_length":16,)"
        R"("beta_fast":16.0,"beta_slow":2.0,"truncate":false})");
  CHECK(rope_of(R"({"rope_scaling":{"rope_type":"yarn","factor":4.0,"mscale":1.0,
            "original_max_position_embeddings":16,"mscale_all_dim":1.0}})") ==
        R"({"base":10000.0,"size":2,"scaling":"yarn","factor":4.0,"original_context_length":16})");
}

TEST_CASE("linear scaling reaches the context that stands beside the original one") {
  const std::string linear = R"("rope_scaling":{"type":"linear","factor":4.0})";
  const std::string expected = R"({"base":10000.0,"size":2,"scaling":"linear","factor":4.0})";
  CHECK(rope_of("{" + linear + "}") == expected);
  CHECK(rope_of("{" + linear + R"(,"max_sequence_length":256})", 256) == expected);
  CHECK(rope_of(R"({"max_sequence_length":256})") ==
        R"({"base":10000.0,"size":2,"scaling":"none"})");
}

TEST_CASE("rope_scaling and rope_parameters may stand together only where they say the same") {
  const std::string linear = R"({"rope_type":"linear","factor":4.0})";
  const std::string expected = R"({"base":10000.0,"size":2,"scaling":"linear","factor":4.0})";
  CHECK(rope_of(R"({"rope_scaling":)" + linear + R"(,"rope_parameters":)" + linear + "}") ==
        expected);
  CHECK(rope_of(R"({"rope_scaling":{},"rope_parameters":)" + linear + "}") == expected);
  CHECK(error_of([&] {
          rope_of(R"({"rope_scaling":)" + linear +
                  R"(,"rope_parameters":{"rope_type":"default","rope_theta":5000.0}})");
        }).message() ==
        "tiny/config.json: rope_parameters: this object is not supported; expected nothing else "
        "than rope_scaling, which is set as well");
}

TEST_CASE("dynamic scaling starts behind the context that the model was trained for") {
  CHECK(rope_of(R"({"rope_scaling":{"type":"dynamic","factor":2.0}})", 128) ==
        R"({"base":10000.0,"size":2,"scaling":"dynamic","factor":2.0,)"
        R"("original_context_length":64})");
}

TEST_CASE("longrope is known by its three names") {
  for (const std::string name : {"longrope", "su", "yarn"}) {
    CHECK(rope_of(R"({"original_max_position_embeddings":16,"rope_scaling":{"type":")" + name +
                  R"(","short_factor":[1.5],"long_factor":[4]}})") ==
          R"({"base":10000.0,"size":2,"scaling":"longrope","original_context_length":16,)"
          R"("short_factors":[1.5],"long_factors":[4.0],"attention_factor":1.224744871391589})");
  }
  CHECK(rope_of(R"({"rope_scaling":{"type":"longrope","short_factor":[1],"long_factor":[1],
            "attention_factor":1.19,"original_max_position_embeddings":16}})") ==
        R"({"base":10000.0,"size":2,"scaling":"longrope","original_context_length":16,)"
        R"("short_factors":[1.0],"long_factors":[1.0],"attention_factor":1.19})");
}
