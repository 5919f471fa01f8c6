#include "lib/runtime/room.h"

#include <fmt/format.h>
#include <new>

#include "lib/base/error.h"
#include "lib/runtime/memory_check.h"

namespace mica {
namespace {

// Of the host's parts: keys and values, and what decoders take before the backend is asked.
uint64_t host_bytes(const LoadedModel& model, const RoomRequest& request, const KvLayout& layout,
                    const PipelineLimits& limits) {
  uint64_t bytes = 0;
  const std::span<const PipelinePart> parts = model.parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].backend->is_host()) continue;
    bytes += KvPool::bytes_of(parts[i].layers.count, layout, request.blocks);
    bytes += Decoder::scratch_bytes(model.config(), parts[i].weights->traits,
                                    Pipeline::decoder_limits(limits, i, parts.size()));
  }
  return bytes;
}

std::string sentence_of(const LoadedModel& model, const RoomRequest& request) {
  return model.file().path() + ": " + request.use;
}

Room allocate(const LoadedModel& model, const RoomRequest& request, const KvLayout& layout,
              const PipelineLimits& limits) {
  const std::span<const PipelinePart> parts = model.parts();
  Room room;
  room.pipeline =
      std::make_unique<Pipeline>(std::vector(parts.begin(), parts.end()), model.config(), limits);
  room.pool =
      std::make_unique<KvPool>(Pipeline::kv_parts(parts, limits.streaming), layout, request.blocks);
  room.pipeline->prepare_streaming(*room.pool, request.blocks);
  return room;
}

}  // namespace

Room make_room(const LoadedModel& model, const RoomRequest& request) {
  const ModelConfig& config = model.config();
  const KvLayout layout{
      .type = request.kv, .kv_heads = config.kv_heads, .head_size = config.head_size};
  PipelineLimits limits{.step = request.limits};
  if (request.streams) limits.streaming = model.streaming();
  const std::string sentence = sentence_of(model, request);
  // Most is known before anything is allocated, a backend's part only when it has reserved it.
  require_host_memory(sentence, host_bytes(model, request, layout, limits));
  const std::span<const PipelinePart> parts = model.parts();
  try {
    Room room = allocate(model, request, layout, limits);
    uint64_t bytes = room.pipeline->reserved_bytes();
    for (const PipelinePart& part : parts) {
      if (part.backend->is_host())
        bytes += KvPool::bytes_of(part.layers.count, layout, request.blocks);
    }
    require_host_memory(sentence, bytes);
    return room;
  } catch (const std::bad_alloc&) {
    if (parts.back().backend->is_host()) throw;
    std::string free;
    for (const PipelinePart& part : parts) {
      if (part.backend->is_host()) continue;
      free += fmt::format("{}{} MiB on {}", free.empty() ? "" : ", ",
                          part.backend->free_bytes() >> 20, part.backend->name());
    }
    throw Error(ErrorCode::kDoesNotFit,
                sentence + ": expected memory for keys, values and intermediate results, found " +
                    free + " free");
  }
}

}  // namespace mica
