// The text part of Gemma 3 (arXiv:2503.19786): norms before and after each block and of each head's
// queries and keys, a window and a rotation of its own in five of six layers, scaled embeddings.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_gemma3_text = {
    .name = "gemma3_text",
    .norms_after = true,
    .qk_norm = QkNorm::kEachHead,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
};

}  // namespace mica
