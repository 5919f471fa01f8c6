// What a tensor is for. The numbers are part of the file format (FORMAT.md, "Roles") and do not
// change; names in a .mica file are built from them ("layers.3.attn.q").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mica {

enum class Role : uint16_t {
  kTokenEmbedding = 1,  // [V, D]
  kOutputNorm = 2,      // [D]
  kHead = 3,            // [V, D]; absent when tied to the embedding
  kOutputNormBias = 4,  // [D]

  kAttnNorm = 16,      // [D]
  kAttnQ = 17,         // [H * E, D]
  kAttnK = 18,         // [K * E, D]
  kAttnV = 19,         // [K * E, D]
  kAttnOut = 20,       // [D, H * E]
  kAttnQBias = 21,     // [H * E]
  kAttnKBias = 22,     // [K * E]
  kAttnVBias = 23,     // [K * E]
  kAttnOutBias = 24,   // [D]
  kAttnNormBias = 25,  // [D]
  kAttnQNorm = 26,     // [E] or [H * E]
  kAttnKNorm = 27,     // [E] or [K * E]
  kAttnPostNorm = 28,  // [D]

  kFfnNorm = 48,  // [D]
  kFfnGate = 49,  // [F, D]
  kFfnUp = 50,    // [F, D]
  kFfnDown = 51,  // [D, F]
  kFfnGateBias = 52,
  kFfnUpBias = 53,
  kFfnDownBias = 54,
  kFfnNormBias = 55,  // [D]
  kFfnPostNorm = 56,  // [D]
};

constexpr int kNoLayer = -1;   // embedding, output norm, head
constexpr int kNoExpert = -1;  // outside of routed experts

// Whether it is the weight of a norm.
bool is_norm(Role role);
// Roles from 16 on belong to a layer.
constexpr bool role_in_layer(Role role) {
  return static_cast<uint16_t>(role) >= 16;
}
// "attn.q"; nullptr for a number not known here.
const char* role_name(Role role);
// Place in the order of execution; -1 for a number not known here.
int role_order(Role role);
// "layers.3.attn.q", "embedding", "layers.3.experts.7.ffn.up".
std::string tensor_name(Role role, int layer, int expert = kNoExpert);

// A source's name of a tensor: the layer it belongs to, or kNoLayer, and the name without it.
struct LocalName {
  int layer;
  std::string_view name;
};
// "model.layers.3.self_attn.q_proj.weight" is "self_attn.q_proj.weight" of layer 3. The first of
// `prefixes` that `name` has is left out; checkpoints of a bare model, without its language head,
// have none.
LocalName local_hf_name(std::string_view name, std::span<const std::string_view> prefixes);
// "blk.3.attn_q.weight" is "attn_q.weight" of layer 3.
LocalName local_gguf_name(std::string_view name);

// What tensors of such names are for in models of Llama's shape; nothing for a name not known.
std::optional<Role> role_of_hf_name(const LocalName& name);
std::optional<Role> role_of_gguf_name(const LocalName& name);
// The first's inverse; nullptr where only a family has a name.
const char* hf_name_of_role(Role role);

}  // namespace mica
