// What steps of a model run in: its pipeline with the scratch memory, and a pool of keys and
// values.
#pragma once

#include <memory>
#include <string>

#include "lib/model/kv_cache.h"
#include "lib/model/pipeline.h"
#include "lib/runtime/loaded_model.h"

namespace mica {

struct Room {
  std::unique_ptr<KvPool> pool;
  std::unique_ptr<Pipeline> pipeline;  // ends first: copies to the pool may be under way in it
  uint64_t host_bytes = 0;             // of the host's memory, that its steps may come to use
};

// What is to be run in it; all of it outlives the room.
struct RoomModel {
  std::string name;  // for sentences: the model's file
  const ModelConfig& config;
  std::span<const PipelinePart> parts;
  PipelineStreaming streaming;
};

struct RoomRequest {
  std::string use;  // for the sentence: "a context of 8192 tokens"
  KvType kv = KvType::kF16;
  int64_t blocks = 0;         // of keys and values
  DecoderLimits limits;       // of a step
  bool streams = false;       // whether prompts may take the host's layers to a device
  uint64_t bytes_beside = 0;  // of the host's memory, promised to others
};

// Call with the engine locked. Throws Error(kDoesNotFit) "MODEL: USE: expected N MiB ..." before
// anything is allocated when the memory available now, the host's or a device's, cannot hold all of
// it, Error(kUnsupported) for keys and values that the model cannot have.
Room make_room(const RoomModel& model, const RoomRequest& request);
Room make_room(const LoadedModel& model, const RoomRequest& request);

}  // namespace mica
