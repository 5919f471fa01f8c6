// Gemma (arXiv:2403.08295): Llama with scaled embeddings.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_gemma = {
    .name = "gemma",
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
};

}  // namespace mica
