#include "lib/runtime/one_sequence.h"

#include "lib/runtime/memory_check.h"

namespace mica {

OneSequence::OneSequence(const LoadedModel& model, KvType kv, std::string_view use,
                         const DecoderLimits& limits) {
  const ModelConfig& config = model.config();
  const KvLayout layout{.type = kv, .kv_heads = config.kv_heads, .head_size = config.head_size};
  const int64_t blocks = KvPool::blocks_for(limits.context);
  const auto lock = model.engine().lock();
  Backend& backend = model.engine().backend();
  decoder = make_decoder(backend, config, model.weights(),
                         {.name = model.file().path(),
                          .use = use,
                          .bytes_beside = KvPool::bytes_of(config.layers, layout, blocks),
                          .limits = limits});
  pool = std::make_unique<KvPool>(backend, config.layers, layout, blocks);
  sequence = std::make_unique<KvSequence>(*pool);
  sequence->resize(limits.context);
}

}  // namespace mica
