// config.json of a Hugging Face model folder.
#pragma once

#include <string>
#include <vector>

#include "formats/source_config.h"

namespace mica {

// Reads what the supported architectures need, with transformers' defaults, and refuses by name
// what would change the model's answers and cannot be honoured. `what` is the file's name and
// begins the error sentences. Adds to `notes` what is set but not used.
SourceConfig read_hf_config(const Json& config, const std::string& what,
                            std::vector<std::string>& notes);

}  // namespace mica
