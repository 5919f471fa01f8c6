#include "formats/roles.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace mica {
namespace {

struct RoleInfo {
  Role role;
  const char* name;       // inside its layer
  const char* hf_name;    // without "model." and "layers.N."; null: depends on the family
  const char* gguf_name;  // without "blk.N."
};

// In the order of execution, which is the order of the file (FORMAT.md, "Segments").
constexpr RoleInfo kRoles[] = {
    {Role::kTokenEmbedding, "embedding", "embed_tokens.weight", "token_embd.weight"},

    {Role::kAttnNorm, "attn.norm", "input_layernorm.weight", "attn_norm.weight"},
    {Role::kAttnNormBias, "attn.norm_bias", "input_layernorm.bias", "attn_norm.bias"},
    {Role::kAttnQ, "attn.q", "self_attn.q_proj.weight", "attn_q.weight"},
    {Role::kAttnK, "attn.k", "self_attn.k_proj.weight", "attn_k.weight"},
    {Role::kAttnV, "attn.v", "self_attn.v_proj.weight", "attn_v.weight"},
    {Role::kAttnQBias, "attn.q_bias", "self_attn.q_proj.bias", "attn_q.bias"},
    {Role::kAttnKBias, "attn.k_bias", "self_attn.k_proj.bias", "attn_k.bias"},
    {Role::kAttnVBias, "attn.v_bias", "self_attn.v_proj.bias", "attn_v.bias"},
    {Role::kAttnQNorm, "attn.q_norm", "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {Role::kAttnKNorm, "attn.k_norm", "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {Role::kAttnOut, "attn.out", "self_attn.o_proj.weight", "attn_output.weight"},
    {Role::kAttnOutBias, "attn.out_bias", "self_attn.o_proj.bias", "attn_output.bias"},
    {Role::kAttnPostNorm, "attn.post_norm", nullptr, "post_attention_norm.weight"},

    {Role::kFfnNorm, "ffn.norm", "post_attention_layernorm.weight", "ffn_norm.weight"},
    {Role::kFfnNormBias, "ffn.norm_bias", "post_attention_layernorm.bias", "ffn_norm.bias"},
    {Role::kFfnGate, "ffn.gate", "mlp.gate_proj.weight", "ffn_gate.weight"},
    {Role::kFfnUp, "ffn.up", "mlp.up_proj.weight", "ffn_up.weight"},
    {Role::kFfnGateBias, "ffn.gate_bias", "mlp.gate_proj.bias", "ffn_gate.bias"},
    {Role::kFfnUpBias, "ffn.up_bias", "mlp.up_proj.bias", "ffn_up.bias"},
    {Role::kFfnDown, "ffn.down", "mlp.down_proj.weight", "ffn_down.weight"},
    {Role::kFfnDownBias, "ffn.down_bias", "mlp.down_proj.bias", "ffn_down.bias"},
    {Role::kFfnPostNorm, "ffn.post_norm", "post_feedforward_layernorm.weight",
     "post_ffw_norm.weight"},

    {Role::kOutputNorm, "output_norm", "norm.weight", "output_norm.weight"},
    {Role::kOutputNormBias, "output_norm_bias", "norm.bias", "output_norm.bias"},
    {Role::kHead, "head", "lm_head.weight", "output.weight"},
};

const RoleInfo* find_info(Role role) {
  const auto found = std::find_if(std::begin(kRoles), std::end(kRoles),
                                  [&](const RoleInfo& info) { return info.role == role; });
  return found == std::end(kRoles) ? nullptr : found;
}

// Takes `prefix`, a layer number and a dot off the front of `name`; kNoLayer when they are not
// there.
int take_layer(std::string_view& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return kNoLayer;
  uint16_t layer = 0;
  const char* digits = name.data() + prefix.size();
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(digits, end, layer);
  if (error != std::errc() || rest == end || *rest != '.') return kNoLayer;
  name.remove_prefix(static_cast<size_t>(rest + 1 - name.data()));
  return layer;
}

std::optional<Role> find_role(const LocalName& name, const char* RoleInfo::*source_name) {
  for (const RoleInfo& info : kRoles) {
    const char* known = info.*source_name;
    if (known != nullptr && name.name == known &&
        role_in_layer(info.role) == (name.layer != kNoLayer)) {
      return info.role;
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_norm(Role role) {
  switch (role) {
    case Role::kAttnNorm:
    case Role::kAttnQNorm:
    case Role::kAttnKNorm:
    case Role::kAttnPostNorm:
    case Role::kFfnNorm:
    case Role::kFfnPostNorm:
    case Role::kOutputNorm:
      return true;
    default:
      return false;
  }
}

const char* role_name(Role role) {
  const RoleInfo* info = find_info(role);
  return info == nullptr ? nullptr : info->name;
}

int role_order(Role role) {
  const RoleInfo* info = find_info(role);
  return info == nullptr ? -1 : static_cast<int>(info - kRoles);
}

std::string tensor_name(Role role, int layer, int expert) {
  const char* name = role_name(role);
  std::string text = name == nullptr ? "role_" + std::to_string(static_cast<int>(role)) : name;
  if (expert != kNoExpert) text = "experts." + std::to_string(expert) + "." + text;
  if (layer != kNoLayer) text = "layers." + std::to_string(layer) + "." + text;
  return text;
}

LocalName local_hf_name(std::string_view name, std::span<const std::string_view> prefixes) {
  const auto prefix = std::find_if(prefixes.begin(), prefixes.end(),
                                   [&](std::string_view p) { return name.starts_with(p); });
  if (prefix != prefixes.end()) name.remove_prefix(prefix->size());
  const int layer = take_layer(name, "layers.");
  return {layer, name};
}

LocalName local_gguf_name(std::string_view name) {
  const int layer = take_layer(name, "blk.");
  return {layer, name};
}

std::optional<Role> role_of_hf_name(const LocalName& name) {
  return find_role(name, &RoleInfo::hf_name);
}

const char* hf_name_of_role(Role role) {
  const RoleInfo* info = find_info(role);
  return info == nullptr ? nullptr : info->hf_name;
}

std::optional<Role> role_of_gguf_name(const LocalName& name) {
  return find_role(name, &RoleInfo::gguf_name);
}

}  // namespace mica
