// OLMo 2 (arXiv:2501.00656): norms after each block only, and of all queries and all keys of a
// token.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_olmo2 = {
    .name = "olmo2",
    .norms_before = false,
    .norms_after = true,
    .qk_norm = QkNorm::kAllHeads,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
};

}  // namespace mica
