// What the keys of a GGUF file say about the model.
#pragma once

#include "formats/gguf_file.h"
#include "formats/source_config.h"

namespace mica {

// Reads {arch}.* of the architectures that are known here, and refuses settings that would change
// the model's answers and cannot be honoured. vocabulary_size and tied_embeddings are left to the
// caller, who sees the tensors; `rope_freqs` is the tensor of that name or nullptr.
SourceConfig read_gguf_config(const GgufFile& file, const GgufTensor* rope_freqs);

// The "generation" object, from general.sampling.*.
Json read_gguf_generation(const GgufFile& file);

// llama.cpp stores the query and key rows of Llama models in another order within each head.
bool permutes_query_and_key(std::string_view architecture);

}  // namespace mica
