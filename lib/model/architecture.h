// What distinguishes one architecture from the next, as data: the decoder loop is the same for all.
//
// One file arch/NAME.cpp defines `kArch_NAME`; the list in meson.build makes the table.
#pragma once

#include <span>
#include <string_view>

namespace mica {

// Whether a file has a tensor: a bias, say.
enum class Presence { kNever, kOptional, kAlways };

// Pre-norm decoder of RMS norms, rotary attention with grouped heads, and a gated feed-forward.
struct Architecture {
  const char* name;  // "architecture" in a file's metadata
  Presence qkv_bias = Presence::kNever;
  Presence attention_out_bias = Presence::kNever;
  Presence feed_forward_bias = Presence::kNever;
};

std::span<const Architecture* const> architectures();

// Throws Error(kUnsupported) naming the architecture and listing those known; `file` begins the
// sentence.
const Architecture& find_architecture(std::string_view name, std::string_view file);

}  // namespace mica
