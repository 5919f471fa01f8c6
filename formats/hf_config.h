// config.json of a Hugging Face model folder.
#pragma once

#include <string>
#include <vector>

#include "formats/family.h"

namespace mica {

struct HfConfig {
  const Family* family;
  SourceConfig config;
};

// Reads what the families need, with transformers' defaults, and refuses by name what would change
// the model's answers and cannot be honoured. `what` is the file's name and begins the error
// sentences. Adds to `notes` what is set but not used.
HfConfig read_hf_config(const Json& config, const std::string& what,
                        std::vector<std::string>& notes);

// Reads the rotary embedding into config.rope and config.window_rope, in the spellings of
// transformers 4 ("rope_theta", "rope_scaling" with "type") and 5 ("rope_parameters", "rope_type").
// Other members of `config` were read; its context grows where the scaling means it to.
void read_hf_rope(const HfSettings& settings, SourceConfig& config);

}  // namespace mica
