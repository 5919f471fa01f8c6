// What runs one sequence after another up to some length, for evaluations: room for steps and a
// cache whose positions are all there. One thread at a time; the model outlives it.
#pragma once

#include <memory>
#include <string_view>

#include "lib/runtime/room.h"

namespace mica {

struct OneSequence {
  // `use` is what it is for, as in RoomRequest. Throws Error(kDoesNotFit), std::bad_alloc.
  OneSequence(const LoadedModel& model, KvType kv, std::string_view use,
              const DecoderLimits& limits);

  Room room;
  std::unique_ptr<KvSequence> sequence;
};

}  // namespace mica
