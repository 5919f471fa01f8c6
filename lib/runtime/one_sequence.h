// What runs one sequence after another up to some length, for evaluations: a decoder and a cache
// whose positions are all there. One thread at a time; the model outlives it.
#pragma once

#include <memory>
#include <string_view>

#include "lib/model/decoder.h"
#include "lib/model/kv_cache.h"
#include "lib/runtime/loaded_model.h"

namespace mica {

struct OneSequence {
  // `use` is what it is for, as in DecoderRequest. Throws Error(kDoesNotFit), std::bad_alloc.
  OneSequence(const LoadedModel& model, KvType kv, std::string_view use,
              const DecoderLimits& limits);

  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<KvPool> pool;
  std::unique_ptr<KvSequence> sequence;
};

}  // namespace mica
