// Mistral (arXiv:2310.06825): Llama with a window in all layers.
#include "lib/model/architecture.h"

namespace mica {

extern const Architecture kArch_mistral = {
    .name = "mistral",
};

}  // namespace mica
