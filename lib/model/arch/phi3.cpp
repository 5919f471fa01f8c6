// Phi-3 (arXiv:2404.14219), Phi-3.5 and Phi-4: Llama with longrope, Phi-4-mini with a part of each
// head rotated; fused projections are split at import.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_phi3 = {
    .name = "phi3",
};

}  // namespace mica
