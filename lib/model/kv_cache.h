// Keys and values of past tokens: a pool of blocks of 16 tokens, and the sequences that hold them.
//
// A pool's memory is reserved for all its blocks at once; pages of blocks never used are never
// touched. Layers that are computed on one device lie in its memory. There a block of all layers
// lies together, so that a growing context fills one huge page after another. Lowest blocks are
// handed out first. Not thread-safe; a pool outlives its sequences, a backend its pools.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lib/backend/backend.h"

namespace mica {

// Layers whose blocks lie together.
struct KvPart {
  Backend* backend = nullptr;  // that computes them
  int64_t layers = 0;
  Backend* reached_by = nullptr;  // a device that copies to and from this host's memory
};

class KvPool {
 public:
  // `blocks` of every layer. Throws std::bad_alloc, Error(kUnsupported) for a head size that int8
  // cannot have.
  KvPool(Backend& backend, int64_t layers, const KvLayout& layout, int64_t blocks);
  // Likewise, with the layers in parts one after the other.
  KvPool(std::span<const KvPart> parts, const KvLayout& layout, int64_t blocks);

  // Bytes that a pool of these dimensions reserves.
  static uint64_t bytes_of(int64_t layers, const KvLayout& layout, int64_t blocks);
  static int64_t blocks_for(int64_t tokens) {
    return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  }

  KvLayer layer(int64_t index) const;
  const KvLayout& layout() const { return layout_; }

 private:
  friend class KvSequence;

  struct Part {
    int64_t first_layer = 0;
    int64_t layers = 0;
    std::unique_ptr<DeviceBuffer> memory;  // [blocks, layers] of block_bytes
  };

  KvLayout layout_;
  std::vector<Part> parts_;
  std::vector<int32_t> free_;  // the next one to hand out last
};

// The blocks of one sequence's positions.
class KvSequence {
 public:
  explicit KvSequence(KvPool& pool) : pool_(&pool) {}
  ~KvSequence() { resize(0); }
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  // Holds exactly the blocks of positions 0 .. tokens - 1: takes what is missing, gives back what
  // is too much; contents of those kept stay. Throws Error(kDoesNotFit) when the pool is empty.
  void resize(int64_t tokens);
  // Block of positions 16 i .. 16 i + 15.
  std::span<const int32_t> blocks() const { return blocks_; }

 private:
  KvPool* pool_;
  std::vector<int32_t> blocks_;
};

}  // namespace mica
