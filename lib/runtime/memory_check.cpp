#include "lib/runtime/memory_check.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {

void require_host_memory(std::string_view what, uint64_t bytes) {
  const uint64_t available = read_host_facts().memory_available_bytes;
  if (available == 0 || bytes <= available) return;
  throw Error(ErrorCode::kDoesNotFit,
              fmt::format("{}: expected {} MiB of memory for keys, values and intermediate "
                          "results, found {} MiB available",
                          what, bytes >> 20, available >> 20));
}

std::unique_ptr<Decoder> make_decoder(Backend& backend, const ModelConfig& config,
                                      const ModelWeights& weights, const DecoderRequest& request) {
  // Most is known before anything is allocated, the backend's part only when it has reserved it.
  const std::string what = fmt::format("{}: {}", request.name, request.use);
  require_host_memory(
      what, request.bytes_beside + Decoder::scratch_bytes(config, weights.traits, request.limits));
  auto decoder = std::make_unique<Decoder>(backend, config, weights, request.limits);
  require_host_memory(what, request.bytes_beside + decoder->reserved_bytes());
  return decoder;
}

}  // namespace mica
