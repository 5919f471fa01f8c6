#include "lib/runtime/one_sequence.h"

namespace mica {

OneSequence::OneSequence(const LoadedModel& model, KvType kv, std::string_view use,
                         const DecoderLimits& limits) {
  const auto lock = model.engine().lock();
  room = make_room(model, {.use = std::string(use),
                           .kv = kv,
                           .blocks = KvPool::blocks_for(limits.context),
                           .limits = limits});
  sequence = std::make_unique<KvSequence>(*room.pool);
  sequence->resize(limits.context);
}

}  // namespace mica
