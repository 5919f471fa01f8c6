// Foretells that memory will not do. Pages are taken as they are used, and running out of them then
// would be the end of the process.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/model/decoder.h"

namespace mica {

// What is to be run, and what needs memory beside its decoder.
struct DecoderRequest {
  std::string_view name;      // for the sentence: the model's file
  std::string_view use;       // "a context of 8192 tokens"
  uint64_t bytes_beside = 0;  // keys and values, and what else was not touched yet
  DecoderLimits limits;
};

// Throws Error(kDoesNotFit) "WHAT: expected N MiB of memory ..." unless so many bytes are available
// to this process now.
void require_host_memory(std::string_view what, uint64_t bytes);

// Throws Error(kDoesNotFit) "NAME: USE: expected N MiB of memory ..." unless the bytes beside, the
// decoder's and all of the backend's are available to this process now. What a backend has reserved
// it keeps, used or not: a request refused once is refused again.
std::unique_ptr<Decoder> make_decoder(Backend& backend, const ModelConfig& config,
                                      const ModelWeights& weights, const DecoderRequest& request);

}  // namespace mica
