// What distinguishes one architecture from the next, as data: the decoder loop is the same for all.
//
// One file arch/NAME.cpp defines `kArch_NAME`; the list in meson.build makes the table.
#pragma once

#include <span>
#include <string_view>

#include "lib/backend/backend.h"

namespace mica {

// Whether a file has a tensor: a bias, say.
enum class Presence { kNever, kOptional, kAlways };

// Norms of queries and keys before rotation.
enum class QkNorm { kNone, kEachHead, kAllHeads };

// Decoder of rotary attention with grouped heads and a feed-forward, each of which adds to a
// residual stream. Numbers (window, scales, activation) are the file's (lib/model/config.h).
struct Architecture {
  const char* name;  // "architecture" in a file's metadata: model_type of Hugging Face
  NormKind norm = NormKind::kRms;
  bool norm_biases = false;
  bool norms_before = true;  // of what attention and feed-forward take
  bool norms_after = false;  // of what they add
  QkNorm qk_norm = QkNorm::kNone;
  bool gated = true;  // feed-forward: activation(gate) * up, or activation(up)
  Presence qkv_bias = Presence::kNever;
  Presence attention_out_bias = Presence::kNever;
  Presence feed_forward_bias = Presence::kNever;
};

std::span<const Architecture* const> architectures();

// Throws Error(kUnsupported) naming the architecture and listing those known; `file` begins the
// sentence.
const Architecture& find_architecture(std::string_view name, std::string_view file);

}  // namespace mica
