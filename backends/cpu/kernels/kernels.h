// What one instruction set offers: a table of pure functions on plain arguments.
//
// Kernels know nothing of threads, memory or errors: the code around them (linear.cpp,
// attention.cpp) divides the work and owns all memory. This header is included by units compiled
// for different machines, so it holds declarations only: no inline function, no member function.
//
// Shapes: T tokens, K columns of a weight, E head size.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/backend/activation.h"

namespace mica::cpu {

enum class Format : uint8_t { kQ4, kQ4s, kQ4m, kQ8 };        // types of quant/
enum class RowFormat : uint8_t { kF32, kF16, kBF16 };        // row-major floats
enum class KvFormat : uint8_t { kF16, kBF16, kF32, kInt8 };  // lib/backend/kv_layout.h

// What the products of one group of quantized activations need besides the codes.
struct InputGroup {
  float scale;
  float magic;       // 12582912 * scale
  int32_t start8;    // bits of 12582912 - 8 * sum: where sums of 4-bit codes of bias 8 start
  int32_t start128;  // the same for bytes of bias 128
  float minus_sum;   // -sum of the group's codes
  float scaled_sum;  // sum * scale
};

// Quantized activations (quant/activations.h).
struct CodedInput {
  const int8_t* codes;       // [T, K]
  const InputGroup* groups;  // [T, K / group]
};

// `count` panels of a weight, one after another.
struct Panels {
  Format format;
  int group;
  int64_t cols;  // K
  const std::byte* first;
  uint64_t stride;  // bytes from one panel to the next
  int64_t count;
};

// `count` rows of a weight.
struct Rows {
  RowFormat format;
  int64_t cols;  // K
  const std::byte* first;
  int64_t count;
};

// A matrix of floats whose rows lie `stride` elements apart.
struct Matrix {
  float* data;
  int64_t stride;
};
struct ConstMatrix {
  const float* data;
  int64_t stride;
};

// Where a block of products goes, all [tokens, count]; a bias is [count] or null.
struct Finish {
  int64_t tokens;
  int64_t count;
  ConstMatrix y;
  const float* bias;
  Matrix out;
  float scale = 1;    // store(), add()
  float softcap = 0;  // store(); 0: none
  // activate() only; up may be null.
  Activation activation = Activation::kSilu;
  ConstMatrix up = {};
  const float* up_bias = nullptr;
};

// Query rows of one kv head: `tokens` tokens at positions first_position, ... with `heads` query
// heads each. Row t * heads + h of all arrays is head h of token t.
struct AttentionTile {
  const float* q;  // [tokens, heads, E], tokens q_stride elements apart
  int64_t q_stride;
  int64_t tokens;
  int64_t heads;
  int64_t head_size;  // E
  int64_t first_position;
  int64_t window;  // positions that a token sees, its own the last; at least 1
  float scale;
  float softcap;  // 0: none

  KvFormat format;
  const std::byte* keys;  // of this head in block 0 of the cache
  int64_t part_bytes;     // of a block's keys, after which its values lie
  int64_t block_stride;   // bytes from one block to the next
  const int32_t* blocks;  // the sequence's block table
};

// Softmax of a part of the positions, not yet divided by its sum.
struct AttentionState {
  float* largest;  // [rows], in units of log2
  float* sum;      // [rows]
  float* out;      // [rows, E padded to 16]
};

struct AttentionScratch {
  float* q;       // [rows, E]
  float* scores;  // [rows, kPiecePositions]
  float* keys;    // [E, 16]
  float* values;  // [16, E padded to 16]
  // Queries for int8 keys.
  int8_t* codes;       // [rows, E]
  InputGroup* groups;  // [rows]
};

// Positions that are summed before they are merged into a result. Fixed, so that results do not
// depend on how the work is divided.
constexpr int64_t kPiecePositions = 256;
// Panels that multiply_many() unpacks together: the best number to ask for.
constexpr int64_t kStripePanels = 3;
// Tokens that coded inputs and outputs of multiply_many() are padded to.
constexpr int64_t kTokenPadding = 4;
// Scratch of one thread for multiply_many() and multiply_decoded().
constexpr int64_t kProductScratchBytes = 64 << 10;

struct Kernels {
  const char* isa;

  // Activations. quantize() gives the codes of quant/activations.h bit for bit.
  // Norms may be taken in place; the bias of layer_norm() may be null.
  void (*rms_norm)(const float* x, const float* weight, int64_t cols, float epsilon, float* out);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, int64_t cols,
                     float epsilon, float* out);
  void (*quantize)(const float* x, int64_t cols, int group, int8_t* codes, InputGroup* groups);

  // y[t][n] = products of quant/README.md, n over all rows of all panels. multiply_few() streams
  // the weights; multiply_many() unpacks them, and may read and write tokens up to the next
  // multiple of kTokenPadding.
  void (*multiply_few)(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y);
  void (*multiply_many)(const Panels& w, const CodedInput& x, int64_t tokens, const Matrix& y,
                        std::byte* scratch);
  int64_t few_tokens;  // up to which multiply_few() is faster; the other takes no fewer
  // The same with decoded weights and float activations.
  void (*multiply_decoded)(const Panels& w, const ConstMatrix& x, int64_t tokens, const Matrix& y,
                           std::byte* scratch);
  void (*multiply_rows)(const Rows& w, const ConstMatrix& x, int64_t tokens, const Matrix& y);
  void (*widen)(RowFormat format, const std::byte* from, int64_t count, float* to);
  // x = high + low + error, |error| <= 2^-16 |x|, as bf16.
  void (*split)(const float* x, int64_t count, uint16_t* high, uint16_t* low);

  // out = cap(scale * (y + bias));  out += scale * (y + bias), rounded once;
  // out = activation(y + bias) * (up + up_bias)
  void (*store)(const Finish& finish);
  void (*add)(const Finish& finish);
  void (*activate)(const Finish& finish);

  // Rotates the first 2 * pairs channels of each head of one token.
  void (*rotate)(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine,
                 int64_t pairs);
  // One position's key and value into a block (lib/backend/kv_layout.h).
  void (*store_key)(const float* key, int64_t head_size, KvFormat format, int64_t position,
                    std::byte* keys);
  void (*store_value)(const float* value, int64_t head_size, KvFormat format, int64_t position,
                      std::byte* values);

  // Positions [begin, end) of one piece; begin is a multiple of kPiecePositions.
  void (*attend)(const AttentionTile& tile, int64_t begin, int64_t end,
                 const AttentionScratch& scratch, const AttentionState& state);
  // Merges the next piece into `state`, rows without a position in it excepted.
  void (*merge)(int64_t rows, int64_t head_size, const AttentionState& piece,
                const AttentionState& state);
  // out[t, h] = state.out / state.sum, tokens `stride` elements apart.
  void (*finish_attention)(const AttentionTile& tile, const AttentionState& state, float* out,
                           int64_t stride);
};

// What a matrix unit adds to the kernels of another instruction set. multiply_many() takes any
// number of tokens and reads and writes no others.
struct MatrixKernels {
  decltype(Kernels::multiply_many) multiply_many;
  int64_t few_tokens;
};

}  // namespace mica::cpu
