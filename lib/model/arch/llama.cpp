// Llama (arXiv:2302.13971) and what shares its shape: Llama 2 and 3, SmolLM2, TinyLlama. Biases
// exist only in variants (attention_bias, mlp_bias of the Hugging Face configuration).
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_llama = {
    .name = "llama",
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kOptional,
};

}  // namespace mica
