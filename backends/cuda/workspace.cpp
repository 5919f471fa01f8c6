#include "backends/cuda/workspace.h"

#include <algorithm>

namespace mica::cuda {
namespace {

constexpr int64_t kMinGroup = 32;
// Weights that are bf16 at a time: 64 MiB, of which the device's cache keeps a good part.
constexpr int64_t kPieceElements = 32 << 20;
constexpr int64_t kPieceProducts = 32 << 20;
// Sequences whose block tables are staged at once; steps of more are divided.
constexpr int64_t kStagedTables = 16;
// Rows whose attention may be divided, as far as 64 MiB reach; one row always may.
constexpr int64_t kDividedRows = 16;
constexpr int64_t kPartialElements = 16 << 20;

class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}
  template <class T>
  T* take(int64_t count) {
    const uint64_t at = used_;
    used_ += (static_cast<uint64_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return base_ ? reinterpret_cast<T*>(base_ + at) : nullptr;
  }
  uint64_t used() const { return used_; }

 private:
  static constexpr uint64_t kAlignment = 256;
  std::byte* base_;
  uint64_t used_ = 0;
};

int64_t partial_elements(const StepLimits& limits) {
  const int64_t pieces = (limits.context + kPiece - 1) / kPiece;
  const int64_t a_row = limits.heads * pieces * (limits.head_size + 2);
  const int64_t rows = std::min(limits.tokens, kDividedRows);
  return std::max(a_row, std::min(rows * a_row, kPartialElements));
}

}  // namespace

// Every size grows with every limit, so that a larger step always has room for a smaller one.
Workspace lay_out(std::byte* base, const WorkspaceNeeds& needs) {
  const StepLimits& limits = needs.limits;
  const bool is_int8 = needs.activations == Activations::kInt8;
  const int64_t rows = std::max(limits.tokens, limits.logit_rows);
  const int64_t coded_rows = std::max(limits.tokens, 2 * limits.logit_rows);
  Arena arena(base);
  Workspace space;
  if (is_int8) {
    const int64_t groups = (limits.input_cols + kMinGroup - 1) / kMinGroup;
    space.coded = {arena.take<int8_t>(coded_rows * limits.input_cols),
                   arena.take<float>(coded_rows * groups),
                   arena.take<int32_t>(coded_rows * groups)};
  }
  if (!is_int8 || limits.float_weights) space.floats = arena.take<float>(rows * limits.input_cols);
  if (needs.gemm_tokens > 0 && rows >= needs.gemm_tokens) {
    space.bf16 = arena.take<uint16_t>(rows * limits.input_cols);
    space.weight_elements =
        std::max(kPanel * limits.input_cols,
                 std::min(kPieceElements, limits.input_cols * limits.output_rows));
    space.weights = arena.take<uint16_t>(space.weight_elements);
    space.product_elements =
        std::max(kPanel * rows, std::min(kPieceProducts, rows * limits.output_rows));
    space.products = arena.take<float>(space.product_elements);
    space.gemm = arena.take<std::byte>(static_cast<int64_t>(needs.gemm_bytes));
  }
  space.ids = arena.take<int32_t>(rows);
  space.places = arena.take<RowPlace>(limits.tokens);
  space.tiles = arena.take<AttentionTile>(limits.tokens);
  space.table_entries =
      (limits.context / kCacheBlock + 1) * std::clamp<int64_t>(limits.tokens, 1, kStagedTables);
  space.tables = arena.take<int32_t>(space.table_entries);
  space.partial_elements = partial_elements(limits);
  space.partial = arena.take<float>(space.partial_elements);
  space.bytes = arena.used();
  return space;
}

}  // namespace mica::cuda
