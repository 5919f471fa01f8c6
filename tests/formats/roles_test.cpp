#include "formats/roles.h"

#include <doctest/doctest.h>
#include <set>

namespace mica {
namespace {

constexpr Role kAllRoles[] = {
    Role::kTokenEmbedding, Role::kOutputNorm, Role::kHead,        Role::kAttnNorm,
    Role::kAttnQ,          Role::kAttnK,      Role::kAttnV,       Role::kAttnOut,
    Role::kAttnQBias,      Role::kAttnKBias,  Role::kAttnVBias,   Role::kAttnOutBias,
    Role::kFfnNorm,        Role::kFfnGate,    Role::kFfnUp,       Role::kFfnDown,
    Role::kFfnGateBias,    Role::kFfnUpBias,  Role::kFfnDownBias, Role::kOutputNormBias,
    Role::kAttnNormBias,   Role::kAttnQNorm,  Role::kAttnKNorm,   Role::kAttnPostNorm,
    Role::kFfnNormBias,    Role::kFfnPostNorm};

TEST_CASE("every role has a name and a place of its own in the order of execution") {
  std::set<std::string> names;
  std::set<int> orders;
  for (const Role role : kAllRoles) {
    REQUIRE(role_name(role) != nullptr);
    names.insert(role_name(role));
    orders.insert(role_order(role));
  }
  CHECK(names.size() == std::size(kAllRoles));
  CHECK(orders.size() == std::size(kAllRoles));
  CHECK(*orders.begin() == 0);
  CHECK(role_name(Role{999}) == nullptr);
  CHECK(role_order(Role{999}) == -1);
}

TEST_CASE("tensor names are built from role, layer and expert") {
  CHECK(tensor_name(Role::kAttnQ, 3) == "layers.3.attn.q");
  CHECK(tensor_name(Role::kTokenEmbedding, kNoLayer) == "embedding");
  CHECK(tensor_name(Role::kFfnUp, 3, 7) == "layers.3.experts.7.ffn.up");
}

constexpr std::string_view kPrefixes[] = {"model."};

void check_place(const LocalName& name, const std::optional<Role>& found, Role role, int layer) {
  REQUIRE(found.has_value());
  CHECK(*found == role);
  CHECK(name.layer == layer);
}

void check_hf(const char* name, Role role, int layer) {
  const LocalName local = local_hf_name(name, kPrefixes);
  check_place(local, role_of_hf_name(local), role, layer);
}

void check_gguf(const char* name, Role role, int layer) {
  const LocalName local = local_gguf_name(name);
  check_place(local, role_of_gguf_name(local), role, layer);
}

TEST_CASE("names of Hugging Face checkpoints are placed") {
  check_hf("model.layers.12.self_attn.q_proj.weight", Role::kAttnQ, 12);
  check_hf("model.layers.0.self_attn.q_proj.bias", Role::kAttnQBias, 0);
  check_hf("model.layers.0.self_attn.o_proj.weight", Role::kAttnOut, 0);
  check_hf("model.layers.0.post_attention_layernorm.weight", Role::kFfnNorm, 0);
  check_hf("layers.3.mlp.down_proj.weight", Role::kFfnDown, 3);
  check_hf("model.embed_tokens.weight", Role::kTokenEmbedding, kNoLayer);
  check_hf("model.norm.weight", Role::kOutputNorm, kNoLayer);
  check_hf("lm_head.weight", Role::kHead, kNoLayer);
}

TEST_CASE("names of GGUF files are placed") {
  check_gguf("blk.29.ffn_gate.weight", Role::kFfnGate, 29);
  check_gguf("blk.7.attn_k.bias", Role::kAttnKBias, 7);
  check_gguf("blk.7.attn_output.weight", Role::kAttnOut, 7);
  check_gguf("token_embd.weight", Role::kTokenEmbedding, kNoLayer);
  check_gguf("output_norm.weight", Role::kOutputNorm, kNoLayer);
  check_gguf("output.weight", Role::kHead, kNoLayer);
}

TEST_CASE("other names have no place") {
  for (const char* name :
       {"", "model.", "model.layers.", "model.layers.3", "model.layers.3.",
        "model.layers.x.mlp.up_proj.weight", "model.layers.-1.mlp.up_proj.weight",
        "model.layers.70000.mlp.up_proj.weight", "model.layers.3.norm.weight",
        "model.layers.0.self_attn.rotary_emb.inv_freq", "self_attn.q_proj.weight",
        "model.layers.3.mlp.up_proj.weight2"}) {
    CHECK_FALSE(role_of_hf_name(local_hf_name(name, kPrefixes)).has_value());
  }
  for (const char* name :
       {"blk.3.attn_q", "attn_q.weight", "blk.3.output.weight", "rope_freqs.weight",
        "blk.99999999999.attn_q.weight", "v.blk.0.attn_q.weight"}) {
    CHECK_FALSE(role_of_gguf_name(local_gguf_name(name)).has_value());
  }
}

}  // namespace
}  // namespace mica
