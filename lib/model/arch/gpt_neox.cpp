// GPT-NeoX (arXiv:2204.06745), Pythia, Dolly: LayerNorm, biases, a feed-forward without gate,
// mostly beside attention rather than after it; the fused projection is split at import.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_gpt_neox = {
    .name = "gpt_neox",
    .norm = NormKind::kLayer,
    .norm_biases = true,
    .gated = false,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kAlways,
};

}  // namespace mica
