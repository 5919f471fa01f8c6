// Where a model's layers are computed: what the planner (plan.h) decides and the engine carries
// out.
//
// Plain data. A model is cut into parts, consecutive runs of layers, each on one device with its
// weights, its keys and values and its scratch memory. The first part has the embedding, the last
// one output norm and head. Layers of the host come first, so that a step makes one hop.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/backend/kv_layout.h"

namespace mica {

constexpr int kHostDevice = -1;  // the CPU; others are indices into Engine::devices()

struct PlacedPart {
  int device = kHostDevice;
  int64_t first_layer = 0;
  int64_t layers = 0;

  bool operator==(const PlacedPart&) const = default;
};

// How prompts go through layers of the host when a device has the rest: their weights are streamed
// to the device, which computes them too.
struct Streaming {
  int64_t from_tokens = INT64_MAX;  // steps of at least so many tokens; INT64_MAX: never
  int64_t tokens = 0;  // of such a step at most; a layer's weights are copied once for it

  bool possible() const { return from_tokens != INT64_MAX; }
  bool operator==(const Streaming&) const = default;
};

struct Placement {
  std::vector<PlacedPart> parts;  // all layers in order; at least one part
  Streaming streaming;            // only where the first part is the host's and another one follows
  // What the memory is planned for.
  int64_t context = 0;  // positions of the session
  KvType kv = KvType::kF16;
  int64_t chunk = 512;  // tokens that a layer works on together

  bool operator==(const Placement&) const = default;
};

}  // namespace mica
