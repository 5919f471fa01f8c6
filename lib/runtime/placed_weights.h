// A model's weights where its parts are computed.
//
// Parts of the host use the file's map; those that a device is to fetch for prompts lie in one
// piece of memory that it reaches fast. Parts of a device are copied there, through two pieces of
// such memory, in one allocation a part. Engine, file and mapped weights outlive it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "formats/reader.h"
#include "lib/base/log.h"
#include "lib/model/pipeline.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/placement.h"

namespace mica {

class PlacedWeights {
 public:
  // All of it on the host.
  PlacedWeights(const Engine& engine, const ModelWeights& mapped);
  // Throws Error(kUsage) for a placement that does not fit the model or the engine,
  // Error(kDoesNotFit) when a device has no room, Error(kInterrupted) when `progress` (bytes)
  // returns false.
  PlacedWeights(const Engine& engine, const MicaFile& file, const ModelWeights& mapped,
                const Placement& placement, const Progress& progress = {});

  std::span<const PipelinePart> parts() const { return parts_; }
  const PipelineStreaming& streaming() const { return streaming_; }

  // Bytes that part `index` of the placement allocates for weights; 0: they stay in the map.
  static uint64_t part_bytes(const ModelWeights& mapped, const Placement& placement, size_t index);

 private:
  struct Memory {
    ModelWeights weights;
    std::unique_ptr<DeviceBuffer> buffer;
  };
  // `reached_by`: the device that copies from a host part. `copied` is told of each run.
  static std::unique_ptr<Memory> place(const ModelWeights& mapped, const Placement& placement,
                                       size_t index, Backend& backend, Backend& reached_by,
                                       const std::function<void(WeightRun)>& copied);

  std::vector<std::unique_ptr<Memory>> memory_;  // of parts that are not in the map
  std::vector<PipelinePart> parts_;
  PipelineStreaming streaming_;
};

}  // namespace mica
