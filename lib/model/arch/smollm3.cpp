// SmolLM3: Llama without rotation in every fourth layer (arXiv:2501.18795).
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_smollm3 = {
    .name = "smollm3",
    .qkv_bias = Presence::kOptional,
    .attention_out_bias = Presence::kOptional,
    .feed_forward_bias = Presence::kOptional,
};

}  // namespace mica
