// Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with biases on the query, key and value projections.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_qwen2 = {
    .name = "qwen2",
    .qkv_bias = Presence::kAlways,
};

}  // namespace mica
