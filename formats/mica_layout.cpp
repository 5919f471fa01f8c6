#include "formats/mica_layout.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {
namespace {

// FORMAT.md, "Weight types". quant/ knows what the bits mean; here only the geometry counts.
constexpr DType kKnownTypes[] = {
    kF32,
    kF16,
    kBF16,
    {.type = 16,
     .layout = TensorLayout::kPanels,
     .code_bits = 4,
     .scale_bytes = 2,
     .offset_bytes = 1},
    {.type = 17, .layout = TensorLayout::kPanels, .code_bits = 4, .scale_bytes = 2},
    {.type = 18,
     .layout = TensorLayout::kPanels,
     .code_bits = 4,
     .scale_bytes = 2,
     .offset_bytes = 2},
    {.type = 19, .layout = TensorLayout::kPanels, .code_bits = 8, .scale_bytes = 2},
};

bool rows_agree(const DType& dtype) {
  return (dtype.code_bits == 8 || dtype.code_bits == 16 || dtype.code_bits == 32) &&
         dtype.group == 0 && dtype.scale_bytes == 0 && dtype.offset_bytes == 0;
}

bool panels_agree(const DType& dtype) {
  return dtype.code_bits >= 1 && dtype.code_bits <= 8 && dtype.group >= 16 && dtype.group <= 1024 &&
         dtype.scale_bytes <= 4 && dtype.offset_bytes <= 4;
}

bool known_type_agrees(const DType& dtype) {
  const auto known = std::find_if(std::begin(kKnownTypes), std::end(kKnownTypes),
                                  [&](const DType& type) { return type.type == dtype.type; });
  if (known == std::end(kKnownTypes)) return true;
  DType expected = *known;
  expected.group = dtype.group;
  const bool group_agrees = dtype.layout == TensorLayout::kRows || dtype.group == 32 ||
                            dtype.group == 64 || dtype.group == 128;
  return group_agrees && expected == dtype;
}

}  // namespace

void check_dtype(const DType& dtype, std::string_view what) {
  const bool agrees = dtype.layout == TensorLayout::kRows     ? rows_agree(dtype)
                      : dtype.layout == TensorLayout::kPanels ? panels_agree(dtype)
                                                              : false;
  if (dtype.type != 0 && agrees && known_type_agrees(dtype)) return;
  throw Error(
      ErrorCode::kInvalidFile,
      fmt::format("{}: expected a weight type whose fields agree, found type {} with layout "
                  "{}, group {}, {} code bits, {} scale bytes, {} offset bytes",
                  what, dtype.type, static_cast<int>(dtype.layout), dtype.group, dtype.code_bits,
                  dtype.scale_bytes, dtype.offset_bytes));
}

bool begins_like_mica(Bytes file) {
  return file.size() >= kMagic.size() &&
         std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

}  // namespace mica
