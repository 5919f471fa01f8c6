// Kernels as the backend starts them. Defined by units/*.h, which nvcc and the host build compile.
#pragma once

#include "backends/cuda/kernels/args.h"
#include "backends/cuda/kernels/launch_shape.h"

namespace mica::cuda {

void launch_embed(const LaunchShape& shape, const EmbedKernelArgs& args);
void launch_prepare(const LaunchShape& shape, const PrepareArgs& args);
void launch_norm_add(const LaunchShape& shape, const NormAddKernelArgs& args);
void launch_rope_store(const LaunchShape& shape, const RopeKernelArgs& args);
void launch_decode_panels(const LaunchShape& shape, const DecodeArgs& args);
void launch_finish(const LaunchShape& shape, const FinishArgs& args);
void launch_float_tile(const LaunchShape& shape, const FloatProductArgs& args);
void launch_merge(const LaunchShape& shape, const MergeArgs& args);

// columns: 1, 2, 4 or 8, at least the tokens.
void launch_stream(const LaunchShape& shape, Format format, int columns, const StreamArgs& args);
void launch_tile(const LaunchShape& shape, Format format, bool large, const TileArgs& args);
// columns: 1 or 8. One block 8 rows.
void launch_float_rows(const LaunchShape& shape, int columns, const FloatProductArgs& args);
// rows of a tile: 1, 4 or 8
void launch_attention(const LaunchShape& shape, CacheType type, int rows,
                      const AttentionKernelArgs& args);

// Figures of kernels that launches need; each is told beside its kernel.
int prepare_columns();  // that a block without a norm takes
int prepare_shared_bytes();
int stream_shared_bytes(Format format, int columns);
int tile_shared_bytes(bool large);
int tile_rows(bool large);
int tile_tokens(bool large);
int float_tile_size();
int float_tile_shared_bytes();
int rope_shared_bytes(int head_size);
int attention_shared_bytes(CacheType type, int rows, int head_size);

}  // namespace mica::cuda
