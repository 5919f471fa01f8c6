// Phi-3, Phi-3.5 and Phi-4 (arXiv:2404.14219): Llama with fused projections; some rotate a part of
// each head, in long contexts by factors.
#include "formats/family.h"

namespace mica {

extern const Family kFamily_phi3 = {
    .config = {.architecture = "phi3"},
    .hf_classes = {"Phi3ForCausalLM"},
    .hf_defaults = R"({"rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096})",
    .hf_names = {{"self_attn.qkv_proj.weight", {Role::kAttnQ, Role::kAttnK, Role::kAttnV}},
                 {"mlp.gate_up_proj.weight", {Role::kFfnGate, Role::kFfnUp}}},
    .read_hf =
        [](const HfSettings& settings, SourceConfig& config) {
          set_window(config, settings.integer("sliding_window", 0));
        },
    .write_hf =
        [](const Json& model, Json& config) {
          write_window(model, config);
          const Json& original = model["rope"]["original_context_length"];
          if (!original.is_null()) config["original_max_position_embeddings"] = original;
        },
    .gguf_architecture = "phi3",
    .gguf_names = {{"attn_qkv.weight", {Role::kAttnQ, Role::kAttnK, Role::kAttnV}},
                   {"ffn_up.weight", {Role::kFfnGate, Role::kFfnUp}}},
};

}  // namespace mica
