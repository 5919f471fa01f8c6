#include "lib/runtime/room.h"

#include <fmt/format.h>
#include <new>

#include "lib/base/error.h"
#include "lib/runtime/memory_check.h"

namespace mica {
namespace {

// What steps of part `index` take besides its weights and the backend's scratch memory.
uint64_t plain_bytes(const RoomModel& model, const RoomRequest& request, const KvLayout& layout,
                     const PipelineLimits& limits, size_t index) {
  const std::span<const PipelinePart> parts = model.parts;
  const PipelinePart& part = parts[index];
  uint64_t bytes = KvPool::bytes_of(part.layers.count, layout, request.blocks) +
                   Decoder::scratch_bytes(model.config, part.weights->traits,
                                          Pipeline::decoder_limits(limits, index, parts.size()));
  if (index == 1 && limits.streaming.possible()) {
    bytes += LayerStream::slot_bytes(LayerStream::largest_layer(*parts[0].weights, parts[0].layers),
                                     layout, request.blocks);
  }
  return bytes;
}

// Of the scratch memory what the backend does not hold already, for others.
uint64_t workspace_bytes(const RoomModel& model, const PipelineLimits& limits, size_t index) {
  const PipelinePart& part = model.parts[index];
  const uint64_t needed = part.backend->measure(
      Decoder::step_limits(model.config, part.weights->traits,
                           Pipeline::decoder_limits(limits, index, model.parts.size())));
  const uint64_t held = part.backend->reserve({});
  return needed > held ? needed - held : 0;
}

void require_device_memory(const std::string& what, const Backend& device, uint64_t bytes) {
  const uint64_t free = device.free_bytes();
  if (free == 0 || bytes <= free) return;
  throw Error(ErrorCode::kDoesNotFit,
              fmt::format("{}: expected {} MiB for keys, values and intermediate results on {}, "
                          "found {} MiB free",
                          what, bytes >> 20, device.name(), free >> 20));
}

// The host's parts together, each device's alone. Keys and values, the most by far, come first:
// they are known without asking a backend.
// Returns what the host's take.
uint64_t require_memory(const RoomModel& model, const RoomRequest& request, const KvLayout& layout,
                        const PipelineLimits& limits) {
  const std::string what = model.name + ": " + request.use;
  uint64_t host_bytes = 0;
  for (const bool with_workspace : {false, true}) {
    host_bytes = 0;
    for (size_t i = 0; i < model.parts.size(); ++i) {
      const Backend& backend = *model.parts[i].backend;
      uint64_t bytes = plain_bytes(model, request, layout, limits, i);
      if (with_workspace) bytes += workspace_bytes(model, limits, i);
      if (backend.is_host()) {
        host_bytes += bytes;
      } else {
        require_device_memory(what, backend, bytes);
      }
    }
    require_host_memory(what, host_bytes + request.bytes_beside);
  }
  return host_bytes;
}

Room allocate(const RoomModel& model, const RoomRequest& request, const KvLayout& layout,
              const PipelineLimits& limits) {
  const std::span<const PipelinePart> parts = model.parts;
  try {
    Room room;
    room.pipeline =
        std::make_unique<Pipeline>(std::vector(parts.begin(), parts.end()), model.config, limits);
    room.pool = std::make_unique<KvPool>(Pipeline::kv_parts(parts, limits.streaming), layout,
                                         request.blocks);
    room.pipeline->prepare_streaming(*room.pool, request.blocks);
    return room;
  } catch (const std::bad_alloc&) {
    if (parts.back().backend->is_host()) throw;
    // A device in pieces, or one that claimed to have more than it gives.
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("{}: {}: expected memory for keys, values and intermediate results on "
                            "{}, found that it gives no more",
                            model.name, request.use, parts.back().backend->name()));
  }
}

}  // namespace

Room make_room(const RoomModel& model, const RoomRequest& request) {
  const KvLayout layout{
      .type = request.kv, .kv_heads = model.config.kv_heads, .head_size = model.config.head_size};
  PipelineLimits limits{.step = request.limits};
  if (request.streams) limits.streaming = model.streaming;
  const uint64_t host_bytes = require_memory(model, request, layout, limits);
  Room room = allocate(model, request, layout, limits);
  room.host_bytes = host_bytes;
  return room;
}

Room make_room(const LoadedModel& model, const RoomRequest& request) {
  return make_room({.name = model.file().path(),
                    .config = model.config(),
                    .parts = model.parts(),
                    .streaming = model.streaming()},
                   request);
}

}  // namespace mica
