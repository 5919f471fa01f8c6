#include "lib/model/weights.h"

#include <algorithm>

#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace mica::testing {
namespace {

using Specs = std::vector<TensorSpec>;

TensorSpec& spec_of(Specs& specs, Role role, int layer) {
  return *std::find_if(specs.begin(), specs.end(), [&](const TensorSpec& spec) {
    return spec.role == role && spec.layer == layer;
  });
}

// The sentence of binding a tiny model with changed tensors, without the file's path.
std::string refusal(std::function<void(Specs&)> change, bool tied = false) {
  const TempFolder folder;
  TinyModel model{.tied = tied};
  model.change_specs = std::move(change);
  const MicaFile file = MicaFile::open(write_tiny_model(folder.file("t.mica"), model));
  const ModelConfig config = parse_model_config(file.metadata()["model"], "t.mica");
  const Error error =
      error_of([&] { bind_weights(file, config, find_architecture("llama", "t.mica")); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message().starts_with(folder.path()));
  return error.message().substr(folder.path().size() + 1);
}

TEST_CASE("weights are bound by role and point into the file") {
  const TempFolder folder;
  const TinyModel model{.architecture = "qwen2", .tied = true};
  const MicaFile file = MicaFile::open(write_tiny_model(folder.file("t.mica"), model));
  const ModelConfig config = parse_model_config(file.metadata()["model"], "t.mica");
  const ModelWeights weights = bind_weights(file, config, find_architecture("qwen2", "t.mica"));
  REQUIRE(weights.layers.size() == 2);
  const LayerWeights& layer = weights.layers[1];
  const TensorRecord* record = file.find(Role::kAttnK, 1);
  CHECK(layer.k.data == file.data(*record).data());
  CHECK(layer.k.rows == 32);
  CHECK(layer.k.cols == 64);
  CHECK(layer.k.slab_stride == record->slab_stride);
  CHECK(layer.k_bias.size() == 32);
  CHECK(layer.attn_out_bias.empty());
  CHECK(layer.ffn_norm.weight.size() == 64);
  CHECK(weights.head.data == weights.embedding.data);
}

TEST_CASE("norms are bound where the architecture has them, with its kind and the file's epsilon") {
  const TempFolder folder;
  const auto bind = [&](const std::string& name) {
    const TinyModel model{.architecture = name};
    const MicaFile file = MicaFile::open(write_tiny_model(folder.file(name), model));
    const ModelConfig config = parse_model_config(file.metadata()["model"], name);
    return bind_weights(file, config, find_architecture(name, name)).layers[0];
  };
  const LayerWeights gemma = bind("gemma3_text");
  CHECK(gemma.attn_norm.present());
  CHECK(gemma.attn_norm.epsilon == 1e-5f);
  CHECK(gemma.q_norm.weight.size() == 16);
  CHECK(gemma.k_norm.weight.size() == 16);
  CHECK(gemma.attn_post_norm.weight.size() == 64);
  CHECK(gemma.ffn_post_norm.epsilon == 1e-5f);
  const LayerWeights olmo = bind("olmo2");
  CHECK_FALSE(olmo.attn_norm.present());
  CHECK_FALSE(olmo.ffn_norm.present());
  CHECK(olmo.q_norm.weight.size() == 64);
  CHECK(olmo.k_norm.weight.size() == 32);
  CHECK(olmo.ffn_post_norm.present());
  const LayerWeights neox = bind("gpt_neox");
  CHECK(neox.ffn_norm.kind == NormKind::kLayer);
  CHECK(neox.ffn_norm.bias.size() == 64);
  CHECK_FALSE(neox.ffn_post_norm.present());
  CHECK_FALSE(neox.gate.present());
  CHECK(neox.up_bias.size() == 96);
}

TEST_CASE("a tensor that is missing, misshapen or of another type is named with both sides") {
  CHECK(refusal([](Specs& s) { spec_of(s, Role::kAttnQ, 1).rows = 48; }) ==
        "t.mica: tensor 'layers.1.attn.q': expected [64, 64], file has [48, 64]");
  CHECK(refusal([](Specs& s) {
          std::erase_if(s, [](const TensorSpec& t) { return t.role == Role::kFfnDown; });
        }) == "t.mica: tensor 'layers.0.ffn.down': expected [64, 96], file has none");
  CHECK(refusal([](Specs& s) { spec_of(s, Role::kAttnNorm, 0).dtype = kF16; }) ==
        "t.mica: tensor 'layers.0.attn.norm': expected f32, file has f16");
  CHECK(refusal([](Specs& s) { spec_of(s, Role::kTokenEmbedding, kNoLayer).rows = 271; }) ==
        "t.mica: tensor 'embedding': expected [272, 64], file has [271, 64]");
}

TEST_CASE("biases that a model may have are in all layers, and of query, key and value together") {
  const auto without = [](Role role, int layer) {
    const TempFolder folder;
    const TinyModel model{.biases = true, .change_specs = [&](Specs& specs) {
                            std::erase_if(specs, [&](const TensorSpec& spec) {
                              return spec.role == role && spec.layer == layer;
                            });
                          }};
    const MicaFile file = MicaFile::open(write_tiny_model(folder.file("t.mica"), model));
    const ModelConfig config = parse_model_config(file.metadata()["model"], "t.mica");
    const Error error =
        error_of([&] { bind_weights(file, config, find_architecture("llama", "t.mica")); });
    return error.message().substr(folder.path().size() + 1);
  };
  CHECK(without(Role::kAttnQBias, 1) ==
        "t.mica: tensor 'layers.1.attn.q_bias': expected [1, 64], file has none");
  CHECK(without(Role::kAttnVBias, 0) ==
        "t.mica: tensor 'layers.0.attn.v_bias': expected [1, 32], file has none");
  CHECK(without(Role::kAttnOutBias, 1) ==
        "t.mica: tensor 'layers.1.attn.out_bias': expected [1, 64], file has none");
  CHECK(without(Role::kFfnDownBias, 0) ==
        "t.mica: tensor 'layers.0.ffn.down_bias': expected [1, 64], file has none");
  CHECK(without(Role::kAttnOutBias, 0)
            .starts_with("t.mica: tensor 'layers.1.attn.out_bias': expected no such tensor"));
}

TEST_CASE("a head missing from a model that is not tied is named") {
  CHECK(refusal([](Specs& s) {
          std::erase_if(s, [](const TensorSpec& t) { return t.role == Role::kHead; });
        }) == "t.mica: tensor 'head': expected [272, 64], file has none");
}

TEST_CASE("projections of one input must share the group") {
  CHECK(refusal([](Specs& s) { spec_of(s, Role::kAttnV, 0).dtype.group = 64; }) ==
        "t.mica: tensor 'layers.0.attn.v': expected group 32 as the other projections of its "
        "input, file has 64");
}

TEST_CASE("a tensor that would not be used is refused: its model would answer wrongly") {
  const std::string sentence = refusal([](Specs& s) {
    s.push_back({.role = Role::kAttnNorm, .layer = 2, .dtype = kF32, .rows = 1, .cols = 64});
  });
  CHECK(sentence ==
        "t.mica: tensor 'layers.2.attn.norm': expected no such tensor in a model of architecture "
        "'llama' as its metadata describes it, file has [1, 64]");
}

}  // namespace
}  // namespace mica::testing
