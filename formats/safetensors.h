// The container of a safetensors file: a JSON header, then the bytes of the tensors without holes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/checked.h"

namespace mica {

struct SafeTensor {
  std::string name;
  std::string type;           // "BF16", as the file spells it
  std::vector<int64_t> dims;  // outermost first; empty for a scalar
  Bytes data;
};

// The tensors, sorted by their place in the file; views into `bytes`. `name` begins every error
// sentence. Throws Error(kInvalidFile), or Error(kUnsupported) for a type that is not known here.
std::vector<SafeTensor> parse_safetensors(Bytes bytes, const std::string& name);

}  // namespace mica
