// Granite 3: Llama with factors for embeddings, residuals, scores and logits.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_granite = {
    .name = "granite",
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kOptional,
};

}  // namespace mica
