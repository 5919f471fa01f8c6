#include "lib/runtime/memory_check.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/host.h"

namespace mica {
namespace {

void require_memory(const DecoderRequest& request, uint64_t decoder_bytes) {
  const uint64_t available = read_host_facts().memory_available_bytes;
  const uint64_t bytes = request.bytes_beside + decoder_bytes;
  if (available == 0 || bytes <= available) return;
  throw Error(ErrorCode::kDoesNotFit,
              fmt::format("{}: {}: expected {} MiB of memory for keys, values and intermediate "
                          "results, found {} MiB available",
                          request.name, request.use, bytes >> 20, available >> 20));
}

}  // namespace

std::unique_ptr<Decoder> make_decoder(Backend& backend, const ModelConfig& config,
                                      const ModelWeights& weights, const DecoderRequest& request) {
  // Most is known before anything is allocated, the backend's part only when it has reserved it.
  require_memory(request, Decoder::scratch_bytes(config, weights, request.limits));
  auto decoder = std::make_unique<Decoder>(backend, config, weights, request.limits);
  require_memory(request, decoder->reserved_bytes());
  return decoder;
}

}  // namespace mica
