// Foretells that memory will not do. Pages are taken as they are used, and running out of them then
// would be the end of the process.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/runtime/loaded_model.h"

namespace mica {

// Throws Error(kDoesNotFit) "FILE: a context of 8192 tokens: expected N MiB of memory ..." unless
// so many bytes are available to this process now. `use` is what needs them.
void require_memory(const LoadedModel& model, std::string_view use, uint64_t bytes);

}  // namespace mica
