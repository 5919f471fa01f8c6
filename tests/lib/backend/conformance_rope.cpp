// Cases of rope_store_kv: norms of queries and keys, rotation, storing.
#include <doctest/doctest.h>

#include "tests/lib/backend/conformance_cache.h"
#include "tests/lib/backend/conformance_products.h"

namespace mica::conformance {
namespace {

constexpr float kEpsilon = 1e-5f;

struct RopeCase {
  HeadShape shape;
  KvLayout layout;
  std::vector<Part> parts;
  BlockTables tables;
  int64_t pairs;
  std::vector<float> q, k, v, cosine, sine;
  std::vector<float> q_norm, k_norm;  // [E] or of all heads; empty: none

  RopeCase(Random& random, const HeadShape& head_shape, KvType type, std::vector<Part> of,
           int64_t rotated_pairs)
      : shape(head_shape),
        layout(layout_of(shape, type)),
        parts(std::move(of)),
        tables(random, parts),
        pairs(rotated_pairs),
        q(random.normals(count_tokens(parts) * shape.heads * shape.size)),
        k(random.normals(count_tokens(parts) * shape.kv_heads * shape.size)),
        v(random.normals(count_tokens(parts) * shape.kv_heads * shape.size)) {
    for (int64_t i = 0; i < count_tokens(parts) * pairs; ++i) {
      const double angle = 10 * random.normal();
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
  }
};

struct RopeResult {
  std::vector<float> q, k;
  std::vector<std::byte> cache;
};

RopeResult run_rope_store(Backend& backend, const RopeCase& rope) {
  Memory memory(backend);
  const HeadShape& shape = rope.shape;
  const int64_t tokens = count_tokens(rope.parts);
  const auto cache = stale_cache(rope.layout, rope.tables.blocks);
  std::byte* base = memory.place(cache);
  const View<float> q(memory.place(rope.q), tokens, shape.heads, shape.size);
  const View<float> k(memory.place(rope.k), tokens, shape.kv_heads, shape.size);
  const auto segments = make_segments(rope.parts, rope.tables);
  backend.reserve({.tokens = tokens,
                   .heads = shape.heads,
                   .head_size = shape.size,
                   .context = rope.tables.blocks * kKvBlockTokens});
  const auto norm = [&](const std::vector<float>& weight) -> Norm {
    if (weight.empty()) return {};
    return {.weight = {memory.place(weight), std::ssize(weight)}, .epsilon = kEpsilon};
  };
  RopeTable table;
  if (rope.pairs > 0) {
    table = {.cosine = {memory.place(rope.cosine), tokens, rope.pairs},
             .sine = {memory.place(rope.sine), tokens, rope.pairs}};
  }
  backend.rope_store_kv({.q = q,
                         .k = k,
                         .v = {memory.place(rope.v), tokens, shape.kv_heads, shape.size},
                         .q_norm = norm(rope.q_norm),
                         .k_norm = norm(rope.k_norm),
                         .rope = table,
                         .kv = {rope.layout, base},
                         .segments = segments});
  return {memory.values_of(q), memory.values_of(k), memory.bytes_of(base, cache.size())};
}

// How far rotated values may be off: a norm's common factor (a float sum of squares) and three
// roundings, then those of two products and a sum.
std::vector<double> rope_tolerance(const RopeCase& rope, const std::vector<float>& x,
                                   const std::vector<float>& norm) {
  std::vector<double> normed(x.begin(), x.end());
  const auto width = std::ssize(norm);
  for (int64_t row = 0; width > 0 && row < std::ssize(x); row += width) {
    double squares = 0;
    for (int64_t i = 0; i < width; ++i) squares += normed[row + i] * normed[row + i];
    const double factor = 1 / std::sqrt(squares / static_cast<double>(width) + kEpsilon);
    for (int64_t i = 0; i < width; ++i) normed[row + i] *= factor * norm[i];
  }
  const double error = (width > 0 ? norm_factor_error(width) + 3 * kRounding : 0) + 3 * kRounding;
  std::vector<double> bounds(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t channel = static_cast<int64_t>(i) % rope.shape.size;
    bounds[i] = error * std::fabs(normed[i]);
    if (channel >= 2 * rope.pairs) continue;
    const size_t other = channel < rope.pairs ? i + rope.pairs : i - rope.pairs;
    bounds[i] += error * std::fabs(normed[other]);
  }
  return bounds;
}

// Rotated values within their tolerance; the cache holds exactly the k that was handed back and v,
// and nothing else was touched.
void check_rope_case(const Bench& bench, const RopeCase& rope) {
  const RopeResult expected = run_rope_store(*bench.reference, rope);
  const RopeResult first = run_rope_store(*bench.tested[0].backend, rope);
  CHECK(find_excess(expected.q, first.q, rope_tolerance(rope, rope.q, rope.q_norm)) == "");
  CHECK(find_excess(expected.k, first.k, rope_tolerance(rope, rope.k, rope.k_norm)) == "");

  auto cache = stale_cache(rope.layout, rope.tables.blocks);
  std::vector<float> k = first.k, v = rope.v;
  int64_t at = 0;  // in k and v
  for (size_t s = 0; s < rope.parts.size(); ++s) {
    const Part& part = rope.parts[s];
    for (int64_t i = 0; i < part.tokens * rope.shape.kv_heads; ++i, at += rope.shape.size) {
      const int64_t head = i % rope.shape.kv_heads;
      const int64_t position = part.first_position + i / rope.shape.kv_heads;
      const auto& table = rope.tables.tables[s];
      put(cache, rope.layout, table, position, head, false, &k[at]);
      put(cache, rope.layout, table, position, head, true, &v[at]);
    }
  }
  CHECK(first.cache == cache);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    const RopeResult again = run_rope_store(*tested.backend, rope);
    CHECK(find_difference(first.q, again.q) == "");
    CHECK(find_difference(first.k, again.k) == "");
    CHECK(again.cache == first.cache);
  }
}

// With all channels rotated, with some or none, with norms of each head or of all together.
void check_shape(const Bench& bench, const HeadShape& shape, KvType type) {
  Random random(static_cast<unsigned>(shape.size));
  const int64_t half = shape.size / 2;
  const std::vector<Part> parts = {{13, 21}, {0, 16}, {31, 1}, {64, 5}};
  check_rope_case(bench, RopeCase(random, shape, type, {{0, 1}}, half));
  check_rope_case(bench, RopeCase(random, shape, type, parts, half));
  check_rope_case(bench, RopeCase(random, shape, type, parts, 0));

  RopeCase normed(random, shape, type, parts, half);
  normed.q_norm = random.normals(shape.size);
  normed.k_norm = random.normals(shape.size);
  check_rope_case(bench, normed);
  RopeCase partial(random, shape, type, parts, (half + 1) / 2);
  partial.q_norm = random.normals(shape.heads * shape.size);
  partial.k_norm = random.normals(shape.kv_heads * shape.size);
  check_rope_case(bench, partial);
}

}  // namespace

void check_rope_store(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const NamedKvType& kv : kKvTypes) {
    for (const HeadShape& shape : kHeadShapes) {
      if (!layout_of(shape, kv.type).possible()) continue;
      INFO(label(shape, kv.name));
      check_shape(bench, shape, kv.type);
    }
  }
}

}  // namespace mica::conformance
