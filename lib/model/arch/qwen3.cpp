// Qwen3 (arXiv:2505.09388): Llama with norms of each head's queries and keys.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_qwen3 = {
    .name = "qwen3",
    .qk_norm = QkNorm::kEachHead,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
};

}  // namespace mica
