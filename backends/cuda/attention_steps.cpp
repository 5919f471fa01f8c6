#include "backends/cuda/attention_steps.h"

#include <algorithm>
#include <cstring>
#include <numbers>
#include <utility>

#include "backends/cuda/kernels/launchers.h"

namespace mica::cuda {
namespace {

constexpr int kMostTileRows = 8;
constexpr int32_t kNoBlock = -1;  // of a row that is not staged

Cache cache_of(const KvLayer& kv) {
  const KvLayout& layout = kv.layout;
  constexpr std::pair<KvType, CacheType> kTypes[] = {{KvType::kF16, CacheType::kF16},
                                                     {KvType::kBF16, CacheType::kBF16},
                                                     {KvType::kF32, CacheType::kF32},
                                                     {KvType::kInt8, CacheType::kInt8}};
  CacheType type = CacheType::kF16;
  for (const auto& [from, to] : kTypes) {
    if (layout.type == from) type = to;
  }
  return {.type = type,
          .kv_heads = static_cast<int32_t>(layout.kv_heads),
          .head_size = static_cast<int32_t>(layout.head_size),
          .element_bytes = static_cast<int32_t>(layout.element_bytes()),
          .base = kv.base,
          .block_stride = kv.block_stride,
          .part_bytes = layout.part_bytes(),
          .elements_bytes = layout.elements_bytes()};
}

template <class T>
bool is_same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Copies what differs from what the device holds.
template <class T>
void refresh(StagingRing& ring, std::vector<T>& held, std::vector<T>& wanted, T* to) {
  if (is_same(held, wanted)) return;
  ring.upload(wanted.data(), to, wanted.size() * sizeof(T));
  held.swap(wanted);
}

int64_t first_seen(int64_t position, int64_t window) {
  return std::max<int64_t>(0, position + 1 - std::min(window, position + 1));
}

}  // namespace

void AttentionSteps::forget() {
  places_.clear();
  tables_.clear();
  tiles_.clear();
}

size_t AttentionSteps::stage(const Session& session, std::span<const BatchSegment> segments,
                             size_t first, int64_t rows) {
  std::vector<RowPlace> places(rows, RowPlace{0, kNoBlock});
  std::vector<int32_t> tables;
  struct Staged {
    const int32_t* blocks;
    int64_t count;
    int32_t at;
  };
  std::vector<Staged> staged;  // segments may share a table
  runs_.clear();
  size_t last = first;
  for (; last < segments.size(); ++last) {
    const BatchSegment& segment = segments[last];
    const int64_t positions = segment.first_position + segment.tokens;
    const int64_t used = (positions + kCacheBlock - 1) / kCacheBlock;
    if (segment.tokens == 0) continue;
    const auto found = std::find_if(staged.begin(), staged.end(), [&](const Staged& entry) {
      return entry.blocks == segment.blocks.data() && entry.count >= used;
    });
    int32_t at;
    if (found != staged.end()) {
      at = found->at;
    } else {
      if (std::ssize(tables) + used > session.space.table_entries && last > first) break;
      at = static_cast<int32_t>(tables.size());
      staged.push_back({segment.blocks.data(), used, at});
      tables.insert(tables.end(), segment.blocks.begin(), segment.blocks.begin() + used);
    }
    for (int64_t t = 0; t < segment.tokens; ++t) {
      const int64_t position = segment.first_position + t;
      places[segment.first_row + t] = {static_cast<int32_t>(position),
                                       segment.blocks[position / kCacheBlock]};
    }
    runs_.push_back({static_cast<int32_t>(segment.first_row), static_cast<int32_t>(segment.tokens),
                     static_cast<int32_t>(segment.first_position), at});
  }
  refresh(ring_, places_, places, session.space.places);
  refresh(ring_, tables_, tables, session.space.tables);
  return last;
}

void AttentionSteps::stage_tiles(const Session& session, int64_t tokens_a_tile) {
  std::vector<AttentionTile> tiles;
  for (const AttentionTile& run : runs_) {
    for (int32_t t = 0; t < run.tokens; t += static_cast<int32_t>(tokens_a_tile)) {
      const auto tokens = std::min(static_cast<int32_t>(tokens_a_tile), run.tokens - t);
      tiles.push_back({run.row + t, tokens, run.position + t, run.table});
    }
  }
  refresh(ring_, tiles_, tiles, session.space.tiles);
}

// Norms of all heads of a row together come first, as norms of rows.
void norm_rows(const Session& session, View<float> rows, const Norm& norm) {
  PrepareArgs args;
  args.x = rows.data();
  args.cols = args.cols_a_block = static_cast<int32_t>(rows.row_size());
  args.norm = norm_args(norm);
  args.floats = rows.data();
  session.driver.use();
  launch_prepare({.stream = session.stream,
                  .x = static_cast<unsigned>(rows.rows()),
                  .shared_bytes = prepare_shared_bytes()},
                 args);
  session.driver.check_launch("prepare");
}

void AttentionSteps::rope_store_kv(const Session& session, const RopeStoreArgs& args) {
  const int64_t size = args.kv.layout.head_size, rows = args.q.rows();
  if (rows == 0 || args.segments.empty()) return;
  RopeKernelArgs kernel;
  kernel.q = args.q.data();
  kernel.k = args.k.data();
  kernel.v = args.v.data();
  kernel.heads = static_cast<int32_t>(args.q.dim(1));
  kernel.pairs = static_cast<int32_t>(args.rope.pairs());
  kernel.cosine = args.rope.cosine.data();
  kernel.sine = args.rope.sine.data();
  kernel.places = session.space.places;
  kernel.cache = cache_of(args.kv);
  const auto head_norm = [&](View<float> x, const Norm& norm) -> NormArgs {
    if (!norm.present() || norm.weight.size() == size) return norm_args(norm);
    norm_rows(session, x, norm);
    return {};
  };
  kernel.q_norm = head_norm(args.q, args.q_norm);
  kernel.k_norm = head_norm(args.k, args.k_norm);
  for (size_t first = 0; first < args.segments.size();) {
    first = stage(session, args.segments, first, rows);
    session.driver.use();
    launch_rope_store({.stream = session.stream,
                       .x = static_cast<unsigned>(rows),
                       .y = static_cast<unsigned>(kernel.heads + 2 * kernel.cache.kv_heads),
                       .shared_bytes = rope_shared_bytes(kernel.cache.head_size)},
                      kernel);
    session.driver.check_launch("rope_store");
  }
}

void AttentionSteps::attention(const Session& session, const AttentionArgs& args) {
  for (size_t first = 0; first < args.segments.size();) {
    first = stage(session, args.segments, first, args.q.rows());
    if (!runs_.empty()) launch(session, args);
  }
}

void AttentionSteps::launch(const Session& session, const AttentionArgs& args) {
  const Workspace& space = session.space;
  AttentionKernelArgs kernel;
  kernel.q = args.q.data();
  kernel.out = args.out.data();
  kernel.heads = static_cast<int32_t>(args.q.dim(1));
  kernel.cache = cache_of(args.kv);
  const int32_t heads_a_kv_head = kernel.heads / kernel.cache.kv_heads;
  kernel.heads_a_tile = std::min(heads_a_kv_head, kMostTileRows);
  kernel.tiles_a_kv_head = (heads_a_kv_head + kMostTileRows - 1) / kMostTileRows;
  kernel.factor = args.scale * std::numbers::log2e_v<float>;
  kernel.cap = args.softcap * std::numbers::log2e_v<float>;
  kernel.window = args.window;
  kernel.tiles = space.tiles;
  kernel.tables = space.tables;

  const int64_t tokens_a_tile = std::max(1, kMostTileRows / kernel.heads_a_tile);
  stage_tiles(session, tokens_a_tile);
  int64_t rows = 1, pieces = 1, divisible = 1;
  for (const AttentionTile& run : runs_) {
    const int64_t last = run.position + run.tokens - 1;
    rows = std::max(rows, std::min<int64_t>(run.tokens, tokens_a_tile) * kernel.heads_a_tile);
    pieces = std::max(pieces, last / kPiece + 1);
    divisible =
        std::max(divisible, last / kPiece + 1 - first_seen(run.position, args.window) / kPiece);
  }
  const int64_t size = kernel.cache.head_size;
  LaunchShape shape{.stream = session.stream,
                    .x = static_cast<unsigned>(tiles_.size()),
                    .y = static_cast<unsigned>(kernel.cache.kv_heads * kernel.tiles_a_kv_head)};
  const int64_t tile_rows = rows == 1 ? 1 : rows <= 4 ? 4 : 8;
  shape.shared_bytes = attention_shared_bytes(kernel.cache.type, static_cast<int>(tile_rows),
                                              kernel.cache.head_size);

  // Positions are divided when tiles alone would leave multiprocessors without work.
  const int64_t blocks = int64_t{shape.x} * shape.y;
  const int64_t wanted = 4 * session.driver.multiprocessors();
  const bool fits = args.q.rows() * kernel.heads * pieces * (size + 2) <= space.partial_elements;
  const bool divides = divisible > 1 && 2 * blocks < wanted && fits;
  if (divides) {
    shape.z = static_cast<unsigned>(std::min(divisible, (wanted + blocks - 1) / blocks));
    kernel.partial = space.partial;
    kernel.pieces = static_cast<int32_t>(pieces);
  }
  session.driver.use();
  launch_attention(shape, kernel.cache.type, static_cast<int>(tile_rows), kernel);
  session.driver.check_launch("attention");
  if (!divides) return;
  launch_merge({.stream = session.stream,
                .x = static_cast<unsigned>(args.q.rows()),
                .y = static_cast<unsigned>(kernel.heads)},
               {.partial = space.partial,
                .places = space.places,
                .heads = kernel.heads,
                .head_size = kernel.cache.head_size,
                .pieces = kernel.pieces,
                .window = args.window,
                .out = args.out.data()});
  session.driver.check_launch("merge");
}

}  // namespace mica::cuda
