#include "backends/cpu/attention.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "backends/cpu/normalize.h"

namespace mica::cpu {
namespace {

// Query rows of a tile: their scores of one piece, 48 KB, stay near. Tiles also waste half of
// their own length at the diagonal.
constexpr int64_t kTileRows = 48;
// Tokens up to which a long context is divided between threads.
constexpr int64_t kDividedTokens = 8;
// Items a thread above which they need no division.
constexpr int64_t kEnoughItems = 4;
// Tokens that a thread rotates and stores at a time: fewer are not worth waking another.
constexpr int64_t kStoredTokens = 8;

int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

KvFormat kv_format(KvType type) {
  switch (type) {
    case KvType::kF16:
      return KvFormat::kF16;
    case KvType::kBF16:
      return KvFormat::kBF16;
    case KvType::kF32:
      return KvFormat::kF32;
    case KvType::kInt8:
      return KvFormat::kInt8;
  }
  return KvFormat::kF16;
}

// An AttentionState in one stretch of memory.
int64_t state_floats(int64_t rows, int64_t head_size) {
  return rows * (2 + ceil_divide(head_size, kPanelRows) * kPanelRows);
}
AttentionState state_at(float* memory, int64_t rows) {
  return {.largest = memory, .sum = memory + rows, .out = memory + 2 * rows};
}

struct Item {
  const BatchSegment* segment;
  int64_t first_token;  // of the segment
  int64_t tokens;
  int64_t kv_head;

  int64_t first_row() const { return segment->first_row + first_token; }
  // That the last token sees or has behind it.
  int64_t positions() const { return segment->first_position + first_token + tokens; }
  int64_t pieces() const { return ceil_divide(positions(), kPiecePositions); }
  // The first piece of which the first token sees anything.
  int64_t first_piece(int64_t window) const {
    return std::max<int64_t>(0, positions() - tokens + 1 - window) / kPiecePositions;
  }
};

// How the work of one call is cut into items.
class Division {
 public:
  explicit Division(const AttentionArgs& args)
      : args_(args),
        kv_heads_(args.kv.layout.kv_heads),
        heads_(args.q.dim(1) / kv_heads_),
        tile_tokens_(std::max<int64_t>(1, kTileRows / heads_)) {}

  int64_t count() const {
    int64_t tiles = 0;
    for (const BatchSegment& segment : args_.segments) tiles += tiles_of(segment);
    return tiles * kv_heads_;
  }
  int64_t tokens() const {
    int64_t tokens = 0;
    for (const BatchSegment& segment : args_.segments) tokens += segment.tokens;
    return tokens;
  }
  // The most that an item has.
  int64_t pieces() const {
    int64_t most = 0;
    for (const BatchSegment& segment : args_.segments) {
      const Item last{&segment, 0, segment.tokens, 0};
      most = std::max(most, last.pieces() - last.first_piece(args_.window));
    }
    return most;
  }

  Item item(int64_t index) const {
    int64_t tile = index / kv_heads_;
    const BatchSegment* segment = args_.segments.data();
    for (; tile >= tiles_of(*segment); ++segment) tile -= tiles_of(*segment);
    const int64_t first = tile * tile_tokens_;
    return {segment, first, std::min(tile_tokens_, segment->tokens - first), index % kv_heads_};
  }

  AttentionTile tile(const Item& item) const {
    const KvLayout& layout = args_.kv.layout;
    const int64_t first_head = item.kv_head * heads_;
    return {.q = args_.q.row(item.first_row()) + first_head * layout.head_size,
            .q_stride = args_.q.row_size(),
            .tokens = item.tokens,
            .heads = heads_,
            .head_size = layout.head_size,
            .first_position = item.segment->first_position + item.first_token,
            .window = args_.window,
            .scale = args_.scale,
            .softcap = args_.softcap,
            .format = kv_format(layout.type),
            .keys = args_.kv.keys(0, item.kv_head),
            .part_bytes = layout.part_bytes(),
            .block_stride = args_.kv.block_stride,
            .blocks = item.segment->blocks.data()};
  }

  float* out(const Item& item) const {
    return args_.out.row(item.first_row()) + item.kv_head * heads_ * args_.kv.layout.head_size;
  }

  // Where a piece of an item is kept until it is merged.
  AttentionState partial(float* memory, const Item& item, int64_t piece, int64_t pieces) const {
    const int64_t size = args_.kv.layout.head_size, rows = item.tokens * heads_;
    const int64_t rows_before = item.first_row() * args_.q.dim(1) + item.kv_head * rows;
    const int64_t floats = rows_before * pieces + piece * rows;
    return state_at(memory + state_floats(floats, size), rows);
  }

 private:
  int64_t tiles_of(const BatchSegment& segment) const {
    return ceil_divide(segment.tokens, tile_tokens_);
  }

  const AttentionArgs& args_;
  int64_t kv_heads_;
  int64_t heads_;  // of one kv head
  int64_t tile_tokens_;
};

void attend_piece(const Kernels& kernels, const AttentionTile& tile, const Item& item,
                  int64_t piece, const AttentionScratch& scratch, const AttentionState& state) {
  const int64_t begin = piece * kPiecePositions;
  kernels.attend(tile, begin, std::min(item.positions(), begin + kPiecePositions), scratch, state);
}

// A row of heads: each for itself where the norm has a head's size.
void normalize_heads(const Kernels& kernels, const Norm& norm, float* x, int64_t size) {
  if (!norm.present()) return;
  const int64_t width = norm.weight.size();
  for (int64_t i = 0; i < size; i += width) normalize(kernels, norm, x + i, width, x + i);
}

}  // namespace

AttentionRunner::AttentionRunner(ThreadPool& pool, const Kernels& kernels)
    : pool_(pool), kernels_(kernels), threads_(pool.size()) {}

uint64_t AttentionRunner::reserve(const StepLimits& limits) {
  // A tile has at most kTileRows rows, or the query heads of one kv head.
  const int64_t rows = std::max(kTileRows, limits.heads);
  const int64_t size = limits.head_size, padded = state_floats(1, size) - 2;
  const int64_t state = state_floats(rows, size);
  const int64_t q = rows * size, scores = rows * kPiecePositions;
  const int64_t keys = size * kKvBlockTokens, values = padded * kKvBlockTokens;
  const int64_t codes = ceil_divide(q, sizeof(float));
  const auto groups = static_cast<int64_t>(rows * sizeof(InputGroup) / sizeof(float));
  uint64_t bytes = 0;
  for (ThreadMemory& memory : threads_) {
    memory.floats =
        AlignedBuffer((2 * state + q + scores + keys + values + codes + groups) * sizeof(float));
    float* place = reinterpret_cast<float*>(memory.floats.data());
    const auto take = [&](int64_t floats) { return std::exchange(place, place + floats); };
    memory.scratch = {.q = take(q),
                      .scores = take(scores),
                      .keys = take(keys),
                      .values = take(values),
                      .codes = reinterpret_cast<int8_t*>(take(codes)),
                      .groups = reinterpret_cast<InputGroup*>(take(groups))};
    memory.piece = state_at(take(state), rows);
    memory.total = state_at(take(state), rows);
    bytes += memory.floats.bytes();
  }
  const int64_t pieces = ceil_divide(limits.context, kPiecePositions);
  const int64_t partial_rows = std::min(limits.tokens, kDividedTokens) * limits.heads * pieces;
  partials_ = AlignedBuffer(state_floats(partial_rows, size) * sizeof(float));
  return bytes + partials_.bytes();
}

void AttentionRunner::attention(const AttentionArgs& args) {
  const Division division(args);
  const int64_t items = division.count(), pieces = division.pieces();
  const bool few = division.tokens() <= kDividedTokens && items < kEnoughItems * pool_.size();
  if (few && pieces > 1 && pool_.size() > 1) return run_divided(args, items, pieces);
  run_whole(args, items);
}

// One item after another, the longest first, so that no thread ends much later than another.
void AttentionRunner::run_whole(const AttentionArgs& args, int64_t items) {
  const Division division(args);
  const int64_t size = args.kv.layout.head_size;
  std::atomic<int64_t> next = items;
  pool_.run([&](int thread) {
    const ThreadMemory& memory = threads_[thread];
    for (int64_t index; (index = next.fetch_sub(1, std::memory_order_relaxed) - 1) >= 0;) {
      const Item item = division.item(index);
      const AttentionTile tile = division.tile(item);
      const int64_t first = item.first_piece(args.window);
      for (int64_t piece = first; piece < item.pieces(); ++piece) {
        attend_piece(kernels_, tile, item, piece, memory.scratch,
                     piece == first ? memory.total : memory.piece);
        if (piece == first) continue;
        kernels_.merge(tile.tokens * tile.heads, size, memory.piece, memory.total);
      }
      kernels_.finish_attention(tile, memory.total, division.out(item), args.out.row_size());
    }
  });
}

void AttentionRunner::run_divided(const AttentionArgs& args, int64_t items, int64_t pieces) {
  const Division division(args);
  float* partials = reinterpret_cast<float*>(partials_.data());
  const int64_t size = args.kv.layout.head_size;
  std::atomic<int64_t> next_piece = 0, next_item = 0;
  pool_.run([&](int thread) {
    for (int64_t index;
         (index = next_piece.fetch_add(1, std::memory_order_relaxed)) < items * pieces;) {
      const Item item = division.item(index / pieces);
      const int64_t piece = item.first_piece(args.window) + index % pieces;
      if (piece >= item.pieces()) continue;
      attend_piece(kernels_, division.tile(item), item, piece, threads_[thread].scratch,
                   division.partial(partials, item, index % pieces, pieces));
    }
  });
  pool_.run([&](int) {
    for (int64_t index; (index = next_item.fetch_add(1, std::memory_order_relaxed)) < items;) {
      const Item item = division.item(index);
      const AttentionTile tile = division.tile(item);
      const AttentionState total = division.partial(partials, item, 0, pieces);
      const int64_t count = item.pieces() - item.first_piece(args.window);
      for (int64_t piece = 1; piece < count; ++piece) {
        kernels_.merge(tile.tokens * tile.heads, size,
                       division.partial(partials, item, piece, pieces), total);
      }
      kernels_.finish_attention(tile, total, division.out(item), args.out.row_size());
    }
  });
}

void AttentionRunner::rope_store_kv(const RopeStoreArgs& args) {
  const int64_t rows = args.q.rows();
  pool_.share(rows, kStoredTokens, [&](int, Range part) { store_rows(args, part); });
}

void AttentionRunner::store_rows(const RopeStoreArgs& args, Range rows) {
  const KvLayout& layout = args.kv.layout;
  const int64_t size = layout.head_size, pairs = args.rope.pairs();
  const KvFormat format = kv_format(layout.type);
  for (const BatchSegment& segment : args.segments) {
    const int64_t last = std::min(rows.end, segment.first_row + segment.tokens);
    for (int64_t row = std::max(rows.begin, segment.first_row); row < last; ++row) {
      normalize_heads(kernels_, args.q_norm, args.q.row(row), args.q.row_size());
      normalize_heads(kernels_, args.k_norm, args.k.row(row), args.k.row_size());
      if (pairs > 0) {
        const float* cosine = args.rope.cosine.row(row);
        const float* sine = args.rope.sine.row(row);
        kernels_.rotate(args.q.row(row), args.q.dim(1), size, cosine, sine, pairs);
        kernels_.rotate(args.k.row(row), layout.kv_heads, size, cosine, sine, pairs);
      }
      const int64_t position = segment.first_position + row - segment.first_row;
      const int32_t block = segment.blocks[position / kKvBlockTokens];
      const int64_t place = position % kKvBlockTokens;
      for (int64_t h = 0; h < layout.kv_heads; ++h) {
        kernels_.store_key(args.k.row(row) + h * size, size, format, place, args.kv.keys(block, h));
        kernels_.store_value(args.v.row(row) + h * size, size, format, place,
                             args.kv.values(block, h));
      }
    }
  }
}

}  // namespace mica::cpu
