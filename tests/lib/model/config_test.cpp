#include "lib/model/config.h"

#include "lib/model/architecture.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_model.h"

namespace mica::testing {
namespace {

Json model_object() {
  return tiny_metadata({})["model"];
}

TEST_CASE("every number of the metadata reaches the config") {
  Json model = model_object();
  model["rope"] = Json::parse(R"({"base": 500000.0, "size": 8, "scaling": "llama3", "factor": 8.0,
      "low_frequency_factor": 1.0, "high_frequency_factor": 4.0,
      "original_context_length": 8192})",
                              "test");
  model["tied_embeddings"] = true;
  const ModelConfig config = parse_model_config(model, "tiny.mica");
  CHECK(config.architecture == "llama");
  CHECK(config.name == "tiny");
  CHECK(config.layers == 2);
  CHECK(config.hidden_size == 64);
  CHECK(config.feed_forward_size == 96);
  CHECK(config.heads == 4);
  CHECK(config.kv_heads == 2);
  CHECK(config.head_size == 16);
  CHECK(config.vocabulary_size == 272);
  CHECK(config.context_length == 1024);
  CHECK(config.norm_epsilon == 1e-5f);
  CHECK(config.tied_embeddings);
  CHECK(config.rope.base == 500000);
  CHECK(config.rope.size == 8);
  CHECK(config.rope.scaling == RopeConfig::Scaling::kLlama3);
  CHECK(config.rope.factor == 8);
  CHECK(config.rope.low_frequency_factor == 1);
  CHECK(config.rope.high_frequency_factor == 4);
  CHECK(config.rope.original_context_length == 8192);
}

TEST_CASE("what a file does not say has its default") {
  const ModelConfig config = parse_model_config(model_object(), "tiny.mica");
  CHECK(config.activation == Activation::kSilu);
  CHECK_FALSE(config.parallel_residual);
  CHECK(config.embedding_scale == 1);
  CHECK(config.residual_scale == 1);
  CHECK(config.logits_scale == 1);
  CHECK(config.attention_scale == 0.25f);
  CHECK(config.attention_softcap == 0);
  CHECK(config.logits_softcap == 0);
  CHECK(config.window == 0);
  CHECK(config.windowed_layers == std::vector<bool>{false, false});
  CHECK(config.rope_layers == std::vector<bool>{true, true});
  CHECK_FALSE(config.window_rope.has_value());
  CHECK(config.rope.attention_factor == 1);
}

TEST_CASE("scales, windows and the layers they belong to reach the config") {
  Json model = model_object();
  const auto set = [&](const char* key, const char* value) {
    model[key] = Json::parse(value, "test");
  };
  set("activation", "\"gelu_tanh\"");
  set("parallel_residual", "true");
  set("embedding_scale", "8");
  set("residual_scale", "0.25");
  set("logits_scale", "0.5");
  set("attention_scale", "0.125");
  set("attention_softcap", "50");
  set("logits_softcap", "30");
  set("window", "512");
  CHECK(parse_model_config(model, "t.mica").windowed_layers == std::vector<bool>{true, true});
  set("windowed_layers", "[true, false]");
  set("rope_layers", "[false, true]");
  set("window_rope",
      R"({"base": 10000.0, "size": 16, "scaling": "yarn", "factor": 4,
          "original_context_length": 64, "beta_fast": 16, "beta_slow": 2, "truncate": false,
          "attention_factor": 1.25})");
  const ModelConfig config = parse_model_config(model, "t.mica");
  CHECK(config.activation == Activation::kGeluTanh);
  CHECK(config.parallel_residual);
  CHECK(config.embedding_scale == 8);
  CHECK(config.residual_scale == 0.25f);
  CHECK(config.logits_scale == 0.5f);
  CHECK(config.attention_scale == 0.125f);
  CHECK(config.attention_softcap == 50);
  CHECK(config.logits_softcap == 30);
  CHECK(config.window == 512);
  CHECK(config.windowed_layers == std::vector<bool>{true, false});
  CHECK(config.rope_layers == std::vector<bool>{false, true});
  CHECK(config.rope.scaling == RopeConfig::Scaling::kNone);
  REQUIRE(config.window_rope.has_value());
  CHECK(config.window_rope->scaling == RopeConfig::Scaling::kYarn);
  CHECK(config.window_rope->beta_fast == 16);
  CHECK(config.window_rope->beta_slow == 2);
  CHECK_FALSE(config.window_rope->truncate);
  CHECK(config.window_rope->attention_factor == 1.25f);
}

TEST_CASE("a config that cannot be right is refused, naming field, expected and found") {
  struct Row {
    const char* field;  // "rope.size": a member of "rope"
    const char* value;  // JSON; "" removes the field
    ErrorCode code;
    const char* sentence;
  };
  const ErrorCode kBad = ErrorCode::kInvalidFile, kUnknown = ErrorCode::kUnsupported;
  const Row rows[] = {
      {"layers", "0", kBad, "t.mica: model.layers: expected 1 .. 4096, found 0"},
      {"layers", "-1", kBad, "t.mica: model.layers: expected 1 .. 4096, found -1"},
      {"layers", "1e300", kBad, "t.mica: model.layers: expected integer, found number"},
      {"layers", "\"2\"", kBad, "t.mica: model.layers: expected integer, found string"},
      {"layers", "", kBad, "t.mica: model.layers: expected integer, found null"},
      {"name", "7", kBad, "t.mica: model.name: expected string, found integer"},
      {"hidden_size", "9223372036854775807", kBad,
       "t.mica: model.hidden_size: expected 1 .. 1048576, found 9223372036854775807"},
      {"feed_forward_size", "0", kBad,
       "t.mica: model.feed_forward_size: expected 1 .. 1048576, found 0"},
      {"heads", "0", kBad, "t.mica: model.heads: expected 1 .. 65536, found 0"},
      {"heads", "65537", kBad, "t.mica: model.heads: expected 1 .. 65536, found 65537"},
      {"kv_heads", "0", kBad, "t.mica: model.kv_heads: expected 1 .. 4, found 0"},
      {"kv_heads", "8", kBad, "t.mica: model.kv_heads: expected 1 .. 4, found 8"},
      {"kv_heads", "3", kBad, "t.mica: model.kv_heads: expected a divisor of 4 heads, found 3"},
      {"head_size", "15", kBad, "t.mica: model.head_size: expected an even number, found 15"},
      {"head_size", "0", kBad, "t.mica: model.head_size: expected 2 .. 4096, found 0"},
      {"vocabulary_size", "2147483648", kBad,
       "t.mica: model.vocabulary_size: expected 1 .. 16777216, found 2147483648"},
      {"context_length", "0", kBad,
       "t.mica: model.context_length: expected 1 .. 16777216, found 0"},
      {"norm_epsilon", "-1", kBad, "t.mica: model.norm_epsilon: expected 0 .. 1, found -1"},
      {"activation", "\"relu\"", kUnknown,
       "t.mica: model.activation: expected 'silu', 'gelu', 'gelu_tanh', found 'relu'"},
      {"tied_embeddings", "1", kBad,
       "t.mica: model.tied_embeddings: expected boolean, found integer"},
      {"sliding_window", "4096", kUnknown,
       "t.mica: model.sliding_window: expected no such setting, found 4096"},
      {"rope", "[]", kBad, "t.mica: model.rope: expected object, found array"},
      {"rope.base", "0", kBad, "t.mica: model.rope.base: expected 1 .. 1000000000000, found 0"},
      {"rope.size", "18", kBad, "t.mica: model.rope.size: expected 2 .. 16, found 18"},
      {"rope.size", "3", kBad, "t.mica: model.rope.size: expected an even number, found 3"},
      {"rope.scaling", "\"su\"", kUnknown,
       "t.mica: model.rope.scaling: expected 'none', 'linear', 'llama3', 'factors', 'yarn', "
       "'dynamic', 'longrope', found 'su'"},
      {"rope.scaling", "\"yarn\"", kBad, "t.mica: model.rope.factor: expected number, found null"},
      {"rope.scaling", "\"longrope\"", kBad,
       "t.mica: model.rope.original_context_length: expected integer, found null"},
      {"rope.attention_factor", "0", kBad,
       "t.mica: model.rope.attention_factor: expected 1e-06 .. 1000000, found 0"},
      {"rope.beta_fast", "32", kUnknown,
       "t.mica: model.rope.beta_fast: expected no such setting, found 32"},
      {"embedding_scale", "-1", kBad,
       "t.mica: model.embedding_scale: expected 1e-06 .. 1000000, found -1"},
      {"logits_softcap", "true", kBad,
       "t.mica: model.logits_softcap: expected number, found boolean"},
      {"parallel_residual", "1", kBad,
       "t.mica: model.parallel_residual: expected boolean, found integer"},
      {"window", "0", kBad, "t.mica: model.window: expected 1 .. 16777216, found 0"},
      {"windowed_layers", "[true, false]", kBad,
       "t.mica: model.window: expected integer, found null"},
      {"rope_layers", "[true]", kBad, "t.mica: model.rope_layers: expected 2 booleans, found 1"},
      {"rope_layers", "[true, 1]", kBad,
       "t.mica: model.rope_layers: expected boolean, found integer"},
      {"rope.factor", "4", kUnknown,
       "t.mica: model.rope.factor: expected no such setting, found 4"},
      {"rope.original_context_length", "64", kUnknown,
       "t.mica: model.rope.original_context_length: expected no such setting, found 64"},
      {"rope.mscale", "1", kUnknown,
       "t.mica: model.rope.mscale: expected no such setting, found 1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.sentence);
    const std::string_view field = row.field;
    const bool in_rope = field.starts_with("rope.");
    Json model = model_object();
    Json& object = in_rope ? model["rope"] : model;
    const std::string_view key = in_rope ? field.substr(5) : field;
    if (*row.value == '\0') {
      std::erase_if(object.as_object(), [&](const Json::Member& m) { return m.first == key; });
    } else {
      object[key] = Json::parse(row.value, "test");
    }
    const Error error = error_of([&] { parse_model_config(model, "t.mica"); });
    CHECK(error.code() == row.code);
    CHECK(error.message() == row.sentence);
  }
}

TEST_CASE("rotary factors must be as many as channel pairs, positive and finite") {
  const auto sentence = [](const char* factors) {
    Json model = model_object();
    model["rope"]["scaling"] = "factors";
    model["rope"]["factors"] = Json::parse(factors, "test");
    return error_of([&] { parse_model_config(model, "t.mica"); }).message();
  };
  CHECK(sentence("[1, 2]") == "t.mica: model.rope.factors: expected 8 numbers, found 2");
  CHECK(sentence("[1, 1, 1, 1, 1, 1, 1, 0]") ==
        "t.mica: model.rope.factors: expected positive numbers, found 0");
  CHECK(sentence("[1, 1, 1, 1, 1, 1, 1, 1e39]") ==
        "t.mica: model.rope.factors: expected positive numbers, found 1e+39");
}

TEST_CASE("equal low and high frequency factors are refused, since their difference divides") {
  Json model = model_object();
  model["rope"] = Json::parse(R"({"base": 1000.0, "size": 8, "scaling": "llama3", "factor": 8.0,
      "low_frequency_factor": 4.0, "high_frequency_factor": 4.0,
      "original_context_length": 8192})",
                              "test");
  const Error error = error_of([&] { parse_model_config(model, "t.mica"); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message().find("model.rope.high_frequency_factor: expected") != std::string::npos);
}

TEST_CASE("an unknown architecture is refused by name, with those known") {
  CHECK(find_architecture("qwen2", "t.mica").qkv_bias == Presence::kAlways);
  const Error error = error_of([] { find_architecture("mamba", "t.mica"); });
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(error.message().starts_with("t.mica: model.architecture: expected '"));
  CHECK(error.message().find("'llama', ") != std::string::npos);
  CHECK(error.message().ends_with("', found 'mamba'"));
}

}  // namespace
}  // namespace mica::testing
