// MiniCPM (arXiv:2404.06395): Llama with factors for embeddings, residuals and logits.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_minicpm = {
    .name = "minicpm",
};

}  // namespace mica
