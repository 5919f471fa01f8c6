// Calibrated conversion of a tiny model whose inputs are far from white: what it changes, that it
// can be interrupted, and what it refuses.
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <random>

#include "lib/base/error.h"
#include "lib/model/config.h"
#include "lib/runtime/calibration_pass.h"
#include "lib/runtime/convert.h"
#include "lib/runtime/evaluate.h"
#include "lib/runtime/mica_source.h"
#include "lib/runtime/source_layer.h"
#include "tests/formats/hf_samples.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

constexpr int kHidden = 64, kForward = 96, kLayers = 3;

constexpr const char* kConfig = R"({"architectures": ["LlamaForCausalLM"],
  "model_type": "llama", "hidden_size": 64,
  "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "num_hidden_layers": 3, "vocab_size": 272, "max_position_embeddings": 256,
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
  "tie_word_embeddings": true})";

// Weights of a Hugging Face folder. Norms of a few channels are large: their weights matter more.
std::string weights(int forward) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  SafetensorsSample sample;
  const auto add = [&](const std::string& name, int64_t rows, int64_t cols) {
    std::string data;
    const bool is_norm = rows == 1;
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = is_norm ? (i % 9 == 4 ? 6.0f : 0.6f)
                                  : normal(random) / std::sqrt(static_cast<float>(cols));
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    const auto dims = is_norm ? std::vector<int64_t>{cols} : std::vector<int64_t>{rows, cols};
    sample.tensors.push_back({name, "F32", dims, std::move(data)});
  };
  add("model.embed_tokens.weight", 272, kHidden);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    add(prefix + "input_layernorm.weight", 1, kHidden);
    add(prefix + "self_attn.q_proj.weight", 64, kHidden);
    add(prefix + "self_attn.k_proj.weight", 32, kHidden);
    add(prefix + "self_attn.v_proj.weight", 32, kHidden);
    add(prefix + "self_attn.o_proj.weight", kHidden, 64);
    add(prefix + "post_attention_layernorm.weight", 1, kHidden);
    add(prefix + "mlp.gate_proj.weight", forward, kHidden);
    add(prefix + "mlp.up_proj.weight", forward, kHidden);
    add(prefix + "mlp.down_proj.weight", kHidden, forward);
  }
  add("model.norm.weight", 1, kHidden);
  return sample.bytes();
}

// The folder of the model.
std::string put_model(const TempFolder& folder, int forward = kForward) {
  std::string config = kConfig;
  config.replace(config.find("96"), 2, std::to_string(forward));
  folder.put("source/config.json", config);
  folder.put("source/tokenizer.json", tiny_tokenizer_json().dump());
  folder.put("source/tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
  folder.put("source/model.safetensors", weights(forward));
  return folder.file("source");
}

std::string some_text(int bytes) {
  std::mt19937 random(3);
  std::string text;
  while (std::ssize(text) < bytes) text += "the of and to in a is"[random() % 21];
  return text;
}

ConvertOptions calibrated(CalibrationEffort effort = CalibrationEffort::kFull) {
  ConvertOptions options{.quant = "q4g32"};
  options.calibration = CalibrationOptions{
      .text = some_text(4000), .text_name = "some text", .effort = effort, .tokens = 2048};
  return options;
}

ConvertReport convert(const std::string& source, const std::string& output,
                      const ConvertOptions& options, int threads = 1,
                      const Progress& progress = {}) {
  return convert_model(source, output, options, *make_engine("generic", threads), progress);
}

// Interrupts at the given call.
Progress until(int calls) {
  return [left = calls](uint64_t, uint64_t) mutable { return --left > 0; };
}

int count_calls(const std::string& source, const std::string& output,
                const ConvertOptions& options) {
  int calls = 0;
  convert(source, output, options, 1, [&](uint64_t, uint64_t) {
    ++calls;
    return true;
  });
  return calls;
}

double mean_output_error(const ConvertReport& report) {
  double sum = 0;
  int count = 0;
  for (const ConvertedTensor& tensor : report.tensors) {
    if (!tensor.output_error) continue;
    sum += *tensor.output_error;
    ++count;
  }
  REQUIRE(count == 7 * kLayers);
  return sum / count;
}

// Of a converted file's predictions from those of the source, on a text that no test calibrates
// with.
double kl_from_source(const TempFolder& folder, const std::string& file) {
  convert(folder.file("source"), folder.file("f32.mica"), {.quant = "f32"});
  const auto engine = make_engine("generic", 1, Activations::kF32);
  const auto load = [&](const std::string& name) {
    return LoadedModel::load(engine, folder.file(name));
  };
  const std::string base = folder.file("base.kld"), held_out = some_text(9000).substr(5000);
  evaluate(*load("f32.mica"), held_out, {.context = 128, .save_kl_base = base});
  return evaluate(*load(file), "", {.context = 128, .kl_base = base}).kl->kl.mean.value;
}

TEST_CASE("each effort lowers the error of the layers' outputs, and the model's KL falls") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  convert(source, folder.file("plain.mica"), {.quant = "q4g32"});
  const double plain = kl_from_source(folder, "plain.mica");
  double before = 1;
  for (const auto effort :
       {CalibrationEffort::kSearch, CalibrationEffort::kGptq, CalibrationEffort::kFull}) {
    const ConvertReport report = convert(source, folder.file("c.mica"), calibrated(effort));
    const double error = mean_output_error(report);
    CHECK(error < before);
    before = error;
    for (const ConvertedTensor& tensor : report.tensors) {
      if (tensor.output_error) CHECK(*tensor.output_error < *tensor.nearest_error);
    }
  }
  CHECK(kl_from_source(folder, "c.mica") < 0.7 * plain);
}

TEST_CASE("an input is shown beside that of the same tokens in another model") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  const auto engine = make_engine("generic", 2);
  const auto importer = open_any_source(source, {});
  const ModelConfig config = parse_model_config(importer->model().config, "test");
  CalibrationWindows windows{.context = 8};
  for (int i = 0; i < 48; ++i) windows.tokens.push_back(static_cast<TokenId>(3 * i % 97));
  const CalibrationPass pass(*importer, config, *engine, windows);
  const SourceLayer own(*importer, config, 0);
  SourceLayer other(*importer, config, 0);
  for (int64_t i = 0; i < other.matrix(Role::kAttnV).size(); ++i)
    other.matrix(Role::kAttnV).data()[i] *= 2;
  const std::vector<float> before(pass.stream().data(),
                                  pass.stream().data() + pass.stream().size());
  const auto distance = [&](Weight LayerWeights::*weight, const LayerWeights& beside) {
    double sum = 0;
    int64_t tokens = 0;
    const auto show = [&](const ShownInput& input, View<const float> there) {
      REQUIRE(there.size() == input.x.size());
      tokens += input.x.rows();
      for (int64_t i = 0; i < there.size(); ++i)
        sum += std::abs(double{input.x.data()[i]} - there.data()[i]);
    };
    pass.observe(0, own.weights(), {&pass, &beside}, {weight, show}, [] {});
    CHECK(tokens == 48);
    return sum;
  };
  for (const auto weight :
       {&LayerWeights::q, &LayerWeights::attn_out, &LayerWeights::up, &LayerWeights::down}) {
    CHECK(distance(weight, own.weights()) == 0);
    // What comes before the values' matrix does not depend on it, all else does.
    CHECK((distance(weight, other.weights()) > 0) == (weight != &LayerWeights::q));
  }
  CHECK(std::equal(before.begin(), before.end(), pass.stream().data()));
}

TEST_CASE("inputs are not scaled where a matrix that would change is not calibrated") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  options.quant = "q8g32";
  options.recipe = "layers.*.ffn.up f16\nlayers.*.ffn.gate f16\n";
  convert(source, folder.file("plain"), options);
  options.calibration->awq = true;
  convert(source, folder.file("scaled"), options);
  CHECK(kl_from_source(folder, "scaled") < 2 * kl_from_source(folder, "plain"));
}

TEST_CASE("scaled inputs leave the function as it is and survive an interruption") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  options.quant = "q8g32";  // so fine that an inexact fold would stand out
  const double plain = mean_output_error(convert(source, folder.file("plain"), options));
  options.calibration->awq = true;
  CHECK(mean_output_error(convert(source, folder.file("scaled"), options)) < 1.5 * plain);
  options.quant = "q4g32";
  convert(source, folder.file("whole"), options);
  const int calls = count_calls(source, folder.file("counted"), options);
  CHECK_THROWS_AS(convert(source, folder.file("parts"), options, 1, until(calls * 2 / 3)), Error);
  options.calibration->resume = true;
  convert(source, folder.file("parts"), options);
  CHECK(folder.get("parts") == folder.get("whole"));
}

TEST_CASE("calibrated files are the same for any number of threads, and say what text was used") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  for (const int threads : {1, 2, 3}) {
    convert(source, folder.file(std::to_string(threads)), calibrated(), threads);
    CHECK(folder.get(std::to_string(threads)) == folder.get("1"));
  }
  const MicaFile file = MicaFile::open(folder.file("1"));
  const Json& said = file.metadata()["conversion"]["calibration"];
  CHECK(said["text"].as_string() == "some text");
  CHECK(said["effort"].as_string() == "full");
  CHECK(said["tokens"].as_integer() == 2048);
}

TEST_CASE("an interrupted calibration goes on where it stopped and gives identical bytes") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  convert(source, folder.file("whole"), options);
  const int calls = count_calls(source, folder.file("counted"), options);
  options.calibration->resume = true;
  for (int stop = 1; stop < calls; stop += 7) {
    const std::string name = std::to_string(stop);
    CHECK_THROWS_AS(convert(source, folder.file(name), options, 1, until(stop)), Error);
    CHECK(!std::filesystem::exists(folder.file(name)));
    // What was done is not done again.
    const int left = count_calls(source, folder.file(name), options);
    CHECK(left <= calls);
    if (stop > calls / 2) CHECK(left < calls);
    CHECK(folder.get(name) == folder.get("whole"));
    CHECK(!std::filesystem::exists(folder.file(name + ".calibration")));
  }
}

TEST_CASE("a side file of another conversion is not resumed, and a damaged one not used") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  convert(source, folder.file("whole"), options);
  const int calls = count_calls(source, folder.file("counted"), options);
  CHECK_THROWS_AS(convert(source, folder.file("other"), calibrated(CalibrationEffort::kSearch), 1,
                          until(calls * 2 / 3)),
                  Error);
  const std::string kept = folder.get("other.calibration");
  options.calibration->resume = true;
  CHECK_THROWS_WITH_AS(convert(source, folder.file("other"), options),
                       doctest::Contains("expected layers of the same source, text, types"), Error);
  CHECK(folder.get("other.calibration") == kept);
  options.calibration->resume = false;
  convert(source, folder.file("other"), options);
  CHECK(folder.get("other") == folder.get("whole"));
  CHECK(!std::filesystem::exists(folder.file("other.calibration")));
  options.calibration->resume = true;

  CHECK_THROWS_AS(convert(source, folder.file("hurt"), options, 1, until(calls * 3 / 4)), Error);
  std::string side = folder.get("hurt.calibration");
  for (const size_t at : {size_t{30}, side.size() / 2, side.size() - 1}) {
    std::string hurt = side;
    hurt[at] ^= 1;
    folder.put("hurt.calibration", hurt);
    convert(source, folder.file("hurt"), options);
    CHECK(folder.get("hurt") == folder.get("whole"));
    folder.put("hurt.calibration", side.substr(0, at));
    convert(source, folder.file("hurt"), options);
    CHECK(folder.get("hurt") == folder.get("whole"));
  }
}

TEST_CASE("layers that other kernels made are not gone on from") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  const int calls = count_calls(source, folder.file("counted"), options);
  CHECK_THROWS_AS(convert(source, folder.file("x"), options, 1, until(calls * 2 / 3)), Error);
  options.calibration->resume = true;
  CHECK_THROWS_WITH_AS(
      convert_model(source, folder.file("x"), options, *make_engine("reference", 1), {}),
      doctest::Contains("expected layers of the same source, text, types"), Error);
  convert(source, folder.file("x"), options, 2);  // their number may change
  CHECK(folder.get("x") == folder.get("counted"));
}

TEST_CASE("a file that only has the side file's name is left alone") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  folder.put("x.calibration", "my notes");
  CHECK_THROWS_WITH_AS(convert(source, folder.file("x"), calibrated()),
                       doctest::Contains("expected finished layers of a calibration"), Error);
  CHECK(folder.get("x.calibration") == "my notes");
  CHECK(!std::filesystem::exists(folder.file("x")));
}

TEST_CASE("a source that cannot be calibrated leaves no side file") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  std::string bytes = folder.get("source/model.safetensors");
  const float nan = NAN;  // the first weight of the last layer's ffn.down
  std::memcpy(&bytes[bytes.size() - 64 * 4 - 96 * 64 * 4], &nan, sizeof nan);
  folder.put("source/model.safetensors", bytes);
  CHECK_THROWS_WITH_AS(convert(source, folder.file("x"), calibrated()),
                       doctest::Contains("expected weights that are finite, found nan"), Error);
  CHECK(!std::filesystem::exists(folder.file("x.calibration")));
  CHECK(!std::filesystem::exists(folder.file("x")));
}

TEST_CASE("an interruption says where the finished layers are") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  const int calls = count_calls(source, folder.file("counted"), calibrated());
  CHECK_THROWS_WITH_AS(convert(source, folder.file("x"), calibrated(), 1, until(calls / 2)),
                       doctest::Contains("x.calibration keeps the finished layers"), Error);
}

TEST_CASE("progress never goes back and ends near the whole") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  uint64_t last = 0, whole = 0;
  convert(source, folder.file("x"), calibrated(), 1, [&](uint64_t done, uint64_t total) {
    CHECK(done >= last);
    last = done;
    whole = total;
    return true;
  });
  CHECK(last <= whole);
  CHECK(last > whole - whole / 20);
}

TEST_CASE("texts that are too short are refused, one token repeated is not") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  options.calibration->text = "";
  CHECK_THROWS_WITH_AS(
      convert(source, folder.file("x"), options),
      "some text: calibration text: expected at least 256 tokens (one window), found 0", Error);
  options.calibration->text = "\xff";
  CHECK_THROWS_WITH_AS(convert(source, folder.file("x"), options),
                       "some text: calibration text: expected UTF-8, found 0xff at byte 0", Error);
  options.calibration->text = std::string(1024, 'a');
  CHECK(mean_output_error(convert(source, folder.file("x"), options)) < 0.1);
}

TEST_CASE("a target of bits counts the matrices that no group divides") {
  const TempFolder folder;
  const std::string source = put_model(folder, 80);  // ffn.down stays f16
  const ConvertReport report = convert(source, folder.file("x"), {.target_bits = 8});
  CHECK(report.body_bits_per_weight <= 8);
  CHECK(report.body_bits_per_weight > 7.5);
  CHECK_THROWS_WITH_AS(
      convert(source, folder.file("y"), {.target_bits = 6}),
      doctest::Contains("target of bits a weight: expected at least 6.5278, found 6"), Error);
}

TEST_CASE("every weight type can be calibrated; where there is none it is refused") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  for (const char* quant : {"q4g32", "q4sg32", "q4mg32", "q8g32"}) {
    options.quant = quant;
    for (const ConvertedTensor& tensor : convert(source, folder.file("x"), options).tensors) {
      if (tensor.output_error) CHECK(*tensor.output_error < *tensor.nearest_error);
    }
  }
  options.quant = "f16";
  CHECK_THROWS_WITH_AS(
      convert(source, folder.file("y"), options),
      "source: calibration: expected matrices to quantize, found that all are carried over as they "
      "are or written as floats; --quant with another type quantizes them",
      Error);
}

TEST_CASE("some windows are held out, and the same tokens are drawn every time") {
  const TempFolder folder;
  const std::string source = put_model(folder);
  ConvertOptions options = calibrated();
  ConvertReport report = convert(source, folder.file("x"), options);
  REQUIRE(report.held_out.has_value());
  CHECK(report.held_out->mean_kl > 0);
  CHECK(report.held_out->mean_kl < 0.1);
  options.calibration->text = some_text(1100);  // one window of 256
  report = convert(source, folder.file("x"), options);
  CHECK(!report.held_out.has_value());
  options.calibration->random_tokens = true;
  report = convert(source, folder.file("x"), options);
  CHECK(report.held_out.has_value());
  convert(source, folder.file("y"), options);
  CHECK(folder.get("x") == folder.get("y"));
}

}  // namespace
}  // namespace mica::testing
