#include "lib/model/kv_cache.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <functional>

#include "lib/base/error.h"

namespace mica {
namespace {

const KvLayout& checked(const KvLayout& layout) {
  if (layout.possible()) return layout;
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("KV cache of int8: expected a head size that is a multiple of 16 up to {}, "
                  "found {}",
                  KvLayout::kMostInt8Channels, layout.head_size));
}

}  // namespace

KvPool::KvPool(Backend& backend, int64_t layers, const KvLayout& layout, int64_t blocks)
    : KvPool(std::array{KvPart{.backend = &backend, .layers = layers}}, layout, blocks) {}

KvPool::KvPool(std::span<const KvPart> parts, const KvLayout& layout, int64_t blocks)
    : layout_(checked(layout)), free_(static_cast<size_t>(blocks)) {
  int64_t first = 0;
  for (const KvPart& part : parts) {
    const uint64_t bytes = bytes_of(part.layers, layout, blocks);
    parts_.push_back({.first_layer = first,
                      .layers = part.layers,
                      .memory = part.reached_by ? part.reached_by->allocate_host(bytes)
                                                : part.backend->allocate(bytes)});
    first += part.layers;
  }
  for (int64_t i = 0; i < blocks; ++i) free_[i] = static_cast<int32_t>(blocks - 1 - i);
}

uint64_t KvPool::bytes_of(int64_t layers, const KvLayout& layout, int64_t blocks) {
  uint64_t bytes;
  if (__builtin_mul_overflow(layers, blocks, &bytes) ||
      __builtin_mul_overflow(bytes, layout.block_bytes(), &bytes)) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("KV cache: expected less than 2^64 bytes, found {} layers of {} blocks "
                            "of {} bytes",
                            layers, blocks, layout.block_bytes()));
  }
  return bytes;
}

KvLayer KvPool::layer(int64_t index) const {
  const Part& part = *std::find_if(parts_.begin(), parts_.end(), [&](const Part& candidate) {
    return index < candidate.first_layer + candidate.layers;
  });
  return {.layout = layout_,
          .base = part.memory->data() + (index - part.first_layer) * layout_.block_bytes(),
          .block_stride = part.layers * layout_.block_bytes()};
}

void KvSequence::resize(int64_t tokens) {
  const int64_t wanted = KvPool::blocks_for(tokens);
  std::vector<int32_t>& free = pool_->free_;
  const int64_t missing = wanted - std::ssize(blocks_);
  if (missing > std::ssize(free)) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("KV cache: expected {} free blocks of {} tokens, found {}", missing,
                            kKvBlockTokens, free.size()));
  }
  if (missing > 0) {
    blocks_.insert(blocks_.end(), free.rbegin(), free.rbegin() + missing);
    free.resize(free.size() - missing);
    return;
  }
  // `free` had room for all blocks once, so that giving back does not allocate. Kept in descending
  // order: low blocks are used again before untouched ones.
  while (std::ssize(blocks_) > wanted) {
    const int32_t block = blocks_.back();
    blocks_.pop_back();
    free.insert(std::upper_bound(free.begin(), free.end(), block, std::greater<>()), block);
  }
}

}  // namespace mica
