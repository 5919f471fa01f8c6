#include "lib/runtime/memory_check.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {

void require_memory(const LoadedModel& model, std::string_view use, uint64_t bytes) {
  const uint64_t available = read_host_facts().memory_available_bytes;
  if (available == 0 || bytes <= available) return;
  throw Error(ErrorCode::kDoesNotFit,
              fmt::format("{}: {}: expected {} MiB of memory for keys, values and intermediate "
                          "results, found {} MiB available",
                          model.file().path(), use, bytes >> 20, available >> 20));
}

}  // namespace mica
