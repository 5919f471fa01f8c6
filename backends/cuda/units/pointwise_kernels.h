// Kernels that work on rows and elements.
#pragma once

#include "backends/cuda/kernels/bf16_prefill.h"
#include "backends/cuda/kernels/embed_gather.h"
#include "backends/cuda/kernels/launchers.h"
#include "backends/cuda/kernels/merge_pieces.h"
#include "backends/cuda/kernels/prepare.h"
#include "backends/cuda/kernels/rope_store.h"

namespace mica::cuda {

MICA_KERNEL(mica_embed, kEmbedThreads, 1, EmbedKernelArgs, embed)
MICA_KERNEL(mica_prepare, kPrepareThreads, 1, PrepareArgs, prepare)
MICA_KERNEL(mica_norm_add, kNormAddThreads, 1, NormAddKernelArgs, norm_add)
MICA_KERNEL(mica_rope_store, kRopeThreads, 1, RopeKernelArgs, rope_store)
MICA_KERNEL(mica_decode_panels, kDecodeThreads, 1, DecodeArgs, decode_panels)
MICA_KERNEL(mica_finish, kFinishThreads, 1, FinishArgs, finish_products)
MICA_KERNEL(mica_merge, kMergeThreads, 1, MergeArgs, merge_pieces)

void launch_embed(const LaunchShape& shape, const EmbedKernelArgs& args) {
  launch_mica_embed(shape, args);
}
void launch_prepare(const LaunchShape& shape, const PrepareArgs& args) {
  launch_mica_prepare(shape, args);
}
void launch_norm_add(const LaunchShape& shape, const NormAddKernelArgs& args) {
  launch_mica_norm_add(shape, args);
}
void launch_rope_store(const LaunchShape& shape, const RopeKernelArgs& args) {
  launch_mica_rope_store(shape, args);
}
void launch_decode_panels(const LaunchShape& shape, const DecodeArgs& args) {
  launch_mica_decode_panels(shape, args);
}
void launch_finish(const LaunchShape& shape, const FinishArgs& args) {
  launch_mica_finish(shape, args);
}
void launch_merge(const LaunchShape& shape, const MergeArgs& args) {
  launch_mica_merge(shape, args);
}

int prepare_columns() {
  return kPrepareThreads * 4;
}
int prepare_shared_bytes() {
  return kPrepareShared;
}
int rope_shared_bytes(int head_size) {
  return rope_shared(head_size);
}

}  // namespace mica::cuda
