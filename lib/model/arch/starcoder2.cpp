// StarCoder2 (arXiv:2402.19173): LayerNorm, biases, a feed-forward without gate.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_starcoder2 = {
    .name = "starcoder2",
    .norm = NormKind::kLayer,
    .norm_biases = true,
    .gated = false,
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kOptional,
};

}  // namespace mica
