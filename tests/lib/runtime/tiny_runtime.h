// Tiny models, loaded: what the tests of lib/runtime run on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/runtime/loaded_model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace mica::testing {

// "reference" and every ISA this machine can run.
std::vector<std::string> isas_here();

std::shared_ptr<const Engine> make_engine(const std::string& isa = "generic", int threads = 1,
                                          Activations activations = Activations::kInt8);

// Writes the model with the tiny tokenizer into `folder` and loads it.
std::shared_ptr<const LoadedModel> load_tiny(const TempFolder& folder, TinyModel model = {},
                                             std::shared_ptr<const Engine> engine = nullptr);

// `count` ids of bytes, the same for the same seed.
std::vector<TokenId> some_ids(int count, int seed = 0);

}  // namespace mica::testing
