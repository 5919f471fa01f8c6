// Every operation written as plainly as possible: scalar loops, double accumulation for norms,
// softmax and float products; products with int8 activations by the normative arithmetic of
// quant/README.md. The conformance suite holds all backends against it; it can also run a model.
#pragma once

#include <memory>

#include "lib/backend/backend.h"

namespace mica {

std::unique_ptr<Backend> make_reference_backend(Activations activations);

}  // namespace mica
