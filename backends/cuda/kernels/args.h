// Arguments of kernels: plain structs of pointers into device memory and numbers, the same for nvcc
// and for the host build. Shapes: T tokens, K inputs, N outputs, H heads, E head size, G group.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mica::cuda {

constexpr int kPanel = 16;       // rows of a panel (formats/FORMAT.md, "Weight layout")
constexpr int kUnit = 32;        // k that one lane, or one tile product, takes at a time
constexpr int kMostColumns = 8;  // tokens of a streamed product
constexpr int kPiece = 128;  // positions of an attention piece; a multiple of a cache block's 16
constexpr int kCacheBlock = 16;

enum class Format : int32_t { kQ4, kQ4s, kQ4m, kQ8, kF32, kF16, kBF16 };
inline constexpr bool is_panel(Format format) {
  return format <= Format::kQ8;
}

struct Matrix {
  Format format = Format::kF32;
  int32_t group = 0;
  int32_t rows = 0;  // N
  int32_t cols = 0;  // K
  const std::byte* data = nullptr;
  uint64_t stride = 0;  // bytes from a panel (or row) to the next
};

enum class Act : int32_t { kSilu, kGelu, kGeluTanh };

enum class EndKind : int32_t {
  kStore,       // out = y + bias
  kAdd,         // out += scale * (y + bias), rounded once
  kActivate,    // out = activation(y + bias)
  kGate,        // out = activation(out) * (y + bias)
  kLogits,      // out = cap(scale * y)
  kSecondPart,  // out = cap(scale * (out + y))
};

// What becomes of a product.
struct End {
  EndKind kind = EndKind::kStore;
  Act activation = Act::kSilu;
  const float* bias = nullptr;  // [N] or null
  float* out = nullptr;         // [T, stride]
  int64_t stride = 0;
  float scale = 1;
  float softcap = 0;
};

// Inputs as quant/activations.h codes them.
struct CodedInput {
  int8_t* codes = nullptr;  // [T, K]
  float* scales = nullptr;  // [T, K / G]
  int32_t* sums = nullptr;  // [T, K / G], of the codes
};

struct NormArgs {
  int32_t is_layer = 0;  // NormKind::kLayer
  float epsilon = 0;
  const float* weight = nullptr;  // [K] or null: no norm
  const float* bias = nullptr;
};

struct EmbedKernelArgs {
  const int32_t* ids = nullptr;  // [T]
  Matrix table;
  float scale = 1;
  float* out = nullptr;
};

// Norm of rows, then codes, floats or bf16 of them.
struct PrepareArgs {
  const float* x = nullptr;       // [.., K]
  const int32_t* rows = nullptr;  // [T] or null: row t
  int32_t cols = 0;
  int32_t cols_a_block = 0;  // all of them where there is a norm
  int32_t group = 0;
  NormArgs norm;
  CodedInput coded;          // codes null: none wanted
  CodedInput second;         // of what the first leave, or null
  float* floats = nullptr;   // [T, K] or null; may be x
  uint16_t* bf16 = nullptr;  // likewise
};

struct NormAddKernelArgs {
  float* x = nullptr;  // [T, K]
  int32_t cols = 0;
  NormArgs norm;
  float scale = 1;
  float* residual = nullptr;
};

struct StreamTarget {
  Matrix matrix;
  End end;
  int32_t first_panel = 0;  // blocks of the grid before it
};

// Products of up to kMostColumns tokens. All matrices have one format, group and K.
struct StreamArgs {
  StreamTarget targets[3];
  int32_t count = 0;
  int32_t tokens = 0;
  int32_t two_parts = 0;  // tokens T / 2 .. hold the second parts of 0 .. T / 2
  CodedInput input;
};

// Products of many tokens.
struct TileArgs {
  Matrix matrix;
  End end;
  int32_t tokens = 0;
  CodedInput input;
};

// Products with float weights, or of decoded weights, with floats.
struct FloatProductArgs {
  Matrix matrix;
  End end;
  int32_t tokens = 0;
  const float* x = nullptr;  // [T, K]
};

// Rows [first, first + count) of a matrix as bf16, [count, K].
struct DecodeArgs {
  Matrix matrix;
  int32_t first = 0, count = 0;
  uint16_t* out = nullptr;
};

// Applies `end` to products in columns [first, first + count).
struct FinishArgs {
  const float* y = nullptr;  // [T, count]
  int32_t tokens = 0, first = 0, count = 0;
  End end;
};

enum class CacheType : int32_t { kF16, kBF16, kF32, kInt8 };

// lib/backend/kv_layout.h as kernels see it.
struct Cache {
  CacheType type = CacheType::kF16;
  int32_t kv_heads = 0;
  int32_t head_size = 0;
  int32_t element_bytes = 0;
  std::byte* base = nullptr;
  int64_t block_stride = 0;
  int64_t part_bytes = 0;      // keys or values of a head in a block
  int64_t elements_bytes = 0;  // of that before the scales
};

struct RowPlace {
  int32_t position;
  int32_t block;  // that holds the position; negative: of another launch
};

struct RopeKernelArgs {
  float* q = nullptr;        // [T, H, E]
  float* k = nullptr;        // [T, K, E]
  const float* v = nullptr;  // [T, K, E]
  int32_t heads = 0;
  int32_t pairs = 0;
  NormArgs q_norm, k_norm;        // of a head, or none
  const float* cosine = nullptr;  // [T, pairs]
  const float* sine = nullptr;
  const RowPlace* places = nullptr;  // [T]
  Cache cache;
};

// Consecutive tokens of one sequence.
struct AttentionTile {
  int32_t row;  // of the first token
  int32_t tokens;
  int32_t position;  // of the first token
  int32_t table;     // where the sequence's block table begins
};

struct AttentionKernelArgs {
  const float* q = nullptr;  // [T, H, E]
  float* out = nullptr;      // [T, H, E]
  int32_t heads = 0;
  int32_t heads_a_tile = 0;  // query heads of one kv head that share a tile
  int32_t tiles_a_kv_head = 0;
  const AttentionTile* tiles = nullptr;
  const int32_t* tables = nullptr;
  Cache cache;
  float factor = 0;  // scale * log2(e)
  float cap = 0;     // softcap * log2(e), or 0
  int64_t window = 0;
  float* partial = nullptr;  // [T, H, pieces, E + 2] where the grid's z divides positions
  int32_t pieces = 0;
};

struct MergeArgs {
  const float* partial = nullptr;
  const RowPlace* places = nullptr;  // [T]
  int32_t heads = 0, head_size = 0, pieces = 0;
  int64_t window = 0;
  float* out = nullptr;
};

}  // namespace mica::cuda
