// Gemma 2 (arXiv:2408.00118): norms before and after each block, softcaps, a window in every other
// layer, scaled embeddings.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_gemma2 = {
    .name = "gemma2",
    .norms_after = true,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
};

}  // namespace mica
