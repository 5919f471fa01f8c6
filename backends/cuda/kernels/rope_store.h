// Norm and rotation of queries and keys, and the cache: one block a token and head. Heads are those
// of q, then of k, then of v.
#pragma once

#include "backends/cuda/kernels/coded_input.h"
#include "backends/cuda/kernels/kv_place.h"
#include "backends/cuda/kernels/prepare.h"

namespace mica::cuda {

constexpr int kRopeThreads = 64;
constexpr int rope_shared(int head_size) {
  return (kReduceFloats + head_size) * 4;
}

MICA_DEVICE void store_element(const Cache& cache, std::byte* part, int64_t index, float value) {
  if (cache.type == CacheType::kF32) {
    reinterpret_cast<float*>(part)[index] = value;
    return;
  }
  reinterpret_cast<uint16_t*>(part)[index] =
      cache.type == CacheType::kF16 ? float_to_half(value) : float_to_bf16(value);
}

// Channel c of position p (of 16) in units of elements.
MICA_DEVICE int64_t element_index(const Cache& cache, bool is_key, int p, int c) {
  if (!is_key) return static_cast<int64_t>(p) * cache.head_size + c;
  const int channels = 4 / cache.element_bytes;
  return (static_cast<int64_t>(c / channels) * kCacheBlock + p) * channels + c % channels;
}

// head: [E] in shared memory.
MICA_DEVICE void store_head(const Cache& cache, bool is_key, int p, std::byte* part,
                            const float* head) {
  const int size = cache.head_size;
  if (cache.type != CacheType::kInt8) {
    for (int c = thread_index(); c < size; c += block_threads()) {
      store_element(cache, part, element_index(cache, is_key, p, c), head[c]);
    }
    return;
  }
  int largest = 0;  // every warp finds it for itself
  for (int c = lane(); c < size; c += 32) {
    const int bits = magnitude_bits(head[c]);
    largest = bits > largest ? bits : largest;
  }
  const float scale = choose_scale(lanes_max(largest, 32)), inverse = invert_scale(scale);
  for (int c = thread_index(); c < size; c += block_threads()) {
    part[element_index(cache, is_key, p, c)] =
        static_cast<std::byte>(code_of(head[c], inverse) + (is_key ? 128 : 0));
  }
  if (thread_index() == 0) reinterpret_cast<float*>(part + cache.elements_bytes)[p] = scale;
}

// Pairs (i, i + pairs) of a head.
MICA_DEVICE void rotate(float* head, const float* cosine, const float* sine, int pairs) {
  for (int i = thread_index(); i < pairs; i += block_threads()) {
    const float a = head[i], b = head[i + pairs], c = cosine[i], s = sine[i];
    head[i] = fma_rn(a, c, -mul_rn(b, s));
    head[i + pairs] = fma_rn(b, c, mul_rn(a, s));
  }
}

// Grid: x tokens, y heads.
MICA_DEVICE void rope_store(const RopeKernelArgs& args) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  float* head = scratch + kReduceFloats;
  const int size = args.cache.head_size, kv_heads = args.cache.kv_heads;
  const int64_t t = block_x();
  const RowPlace place = args.places[t];
  if (place.block < 0) return;
  const bool is_query = block_y() < args.heads;
  const bool is_key = !is_query && block_y() < args.heads + kv_heads;
  const int h = is_query ? block_y() : (block_y() - args.heads) % kv_heads;
  const float* from = is_query ? args.q + (t * args.heads + h) * size
                               : (is_key ? args.k : args.v) + (t * kv_heads + h) * size;
  if (is_query || is_key) {
    const RowNorm norm = measure_row(is_query ? args.q_norm : args.k_norm, from, size, scratch);
    for (int c = thread_index(); c < size; c += block_threads()) {
      head[c] = apply_norm(norm, from[c], c);
    }
    sync_block();
    rotate(head, args.cosine + t * args.pairs, args.sine + t * args.pairs, args.pairs);
  } else {
    for (int c = thread_index(); c < size; c += block_threads()) head[c] = from[c];
  }
  sync_block();
  if (is_query || is_key) {
    float* to =
        is_query ? args.q + (t * args.heads + h) * size : args.k + (t * kv_heads + h) * size;
    for (int c = thread_index(); c < size; c += block_threads()) to[c] = head[c];
  }
  if (is_query) return;
  std::byte* part =
      is_key ? keys_of(args.cache, place.block, h) : values_of(args.cache, place.block, h);
  store_head(args.cache, is_key, place.position % kCacheBlock, part, head);
}

}  // namespace mica::cuda
