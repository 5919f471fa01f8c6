// Cases of the cache: rotation, storing, attention over block tables.
#include <algorithm>
#include <doctest/doctest.h>
#include <limits>
#include <numbers>

#include "lib/base/half.h"
#include "quant/activations.h"
#include "tests/lib/backend/conformance_data.h"

namespace mica::conformance {
namespace {

struct HeadShape {
  int64_t heads;     // H
  int64_t kv_heads;  // K
  int64_t size;      // E
};
constexpr HeadShape kHeadShapes[] = {{1, 1, 64},   {9, 3, 64},  {4, 4, 80}, {8, 2, 96},
                                     {14, 2, 128}, {28, 4, 64}, {2, 1, 256}};
constexpr struct {
  KvType type;
  const char* name;
} kKvTypes[] = {{KvType::kF16, ", f16"},
                {KvType::kBF16, ", bf16"},
                {KvType::kF32, ", f32"},
                {KvType::kInt8, ", int8"}};

// A part of a sequence: positions [first_position, first_position + tokens).
struct Part {
  int64_t first_position;
  int64_t tokens;
};

// Block tables of as many sequences as there are parts, their blocks dealt from one shuffled pool
// that is larger than needed.
struct BlockTables {
  std::vector<std::vector<int32_t>> tables;
  int64_t blocks = 0;

  BlockTables(Random& random, const std::vector<Part>& parts) {
    std::vector<int32_t> pool;
    for (const Part& part : parts) {
      blocks += (part.first_position + part.tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    }
    blocks += 3;
    for (int32_t i = 0; i < blocks; ++i) {
      pool.insert(pool.begin() + random.below(i + 1), i);
    }
    for (const Part& part : parts) {
      const int64_t count =
          (part.first_position + part.tokens + kKvBlockTokens - 1) / kKvBlockTokens;
      tables.emplace_back(pool.end() - count, pool.end());
      pool.resize(pool.size() - count);
    }
  }
};

std::vector<BatchSegment> make_segments(const std::vector<Part>& parts, const BlockTables& tables) {
  std::vector<BatchSegment> segments;
  int64_t row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    segments.push_back({row, parts[i].tokens, parts[i].first_position, tables.tables[i]});
    row += parts[i].tokens;
  }
  return segments;
}

int64_t count_tokens(const std::vector<Part>& parts) {
  int64_t tokens = 0;
  for (const Part& part : parts) tokens += part.tokens;
  return tokens;
}

struct Codes {
  std::vector<int8_t> codes;
  float scale;

  Codes(const float* x, int64_t size) : codes(size) {
    quantize_activations(x, size, static_cast<int>(size), codes.data(), &scale);
  }
};

// lib/backend/kv_layout.h, written a second time: stores x, [E], as the key or value of a position.
// What the cache then holds replaces x.
void put(std::vector<std::byte>& cache, const KvLayout& layout, const std::vector<int32_t>& table,
         int64_t position, int64_t head, bool is_value, float* x) {
  const int64_t p = position % 16, size = layout.head_size;
  const int64_t element = layout.type == KvType::kF32 ? 4 : layout.type == KvType::kInt8 ? 1 : 2;
  const int64_t part = 16 * size * element + (layout.type == KvType::kInt8 ? 64 : 0);
  const int64_t base =
      ((table[position / 16] * layout.kv_heads + head) * 2 + (is_value ? 1 : 0)) * part;
  const Codes coded(x, size);
  if (layout.type == KvType::kInt8) {
    std::memcpy(&cache[base + 16 * size + p * 4], &coded.scale, 4);
  }
  for (int64_t c = 0; c < size; ++c) {
    const int64_t line = c * element / 4;
    const int64_t at =
        base + (is_value ? (p * size + c) * element : (line * 16 + p) * 4 + c * element % 4);
    const uint16_t f16 = f32_to_f16(x[c]), bf16 = f32_to_bf16(x[c]);
    const auto code = static_cast<uint8_t>(coded.codes[c] + (is_value ? 0 : 128));
    switch (layout.type) {
      case KvType::kF16:
        std::memcpy(&cache[at], &f16, 2);
        x[c] = f16_to_f32(f16);
        break;
      case KvType::kBF16:
        std::memcpy(&cache[at], &bf16, 2);
        x[c] = bf16_to_f32(bf16);
        break;
      case KvType::kF32:
        std::memcpy(&cache[at], &x[c], 4);
        break;
      case KvType::kInt8:
        std::memcpy(&cache[at], &code, 1);
        x[c] = coded.scale * static_cast<float>(coded.codes[c]);
        break;
    }
  }
}

// A cache whose every byte is 0xff: NaN in all types, for int8 in the scales.
std::vector<std::byte> stale_cache(const KvLayout& layout, int64_t blocks) {
  return std::vector<std::byte>(blocks * layout.block_bytes(), std::byte{0xff});
}

// --- rope_store_kv
// ---------------------------------------------------------------------------------

struct RopeCase {
  HeadShape shape;
  KvLayout layout;
  std::vector<Part> parts;
  BlockTables tables;
  std::vector<float> q, k, v, cosine, sine;

  RopeCase(Random& random, const HeadShape& head_shape, KvType type, std::vector<Part> of)
      : shape(head_shape),
        layout{type, shape.kv_heads, shape.size},
        parts(std::move(of)),
        tables(random, parts),
        q(random.normals(count_tokens(parts) * shape.heads * shape.size)),
        k(random.normals(count_tokens(parts) * shape.kv_heads * shape.size)),
        v(random.normals(count_tokens(parts) * shape.kv_heads * shape.size)) {
    for (int64_t i = 0; i < count_tokens(parts) * shape.size / 2; ++i) {
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
  backend.rope_store_kv({.q = q,
                         .k = k,
                         .v = {memory.place(rope.v), tokens, shape.kv_heads, shape.size},
                         .rope = {.cosine = {memory.place(rope.cosine), tokens, shape.size / 2},
                                  .sine = {memory.place(rope.sine), tokens, shape.size / 2}},
                         .kv = {rope.layout, base},
                         .segments = segments});
  return {values_of(q), values_of(k), {base, base + cache.size()}};
}

// Rotated values within the roundings of two products and a sum; the cache holds exactly the k that
// was handed back and v, and nothing else was touched.
void check_rope_case(const Bench& bench, const RopeCase& rope) {
  const RopeResult expected = run_rope_store(*bench.reference, rope);
  const auto tolerance = [&](const std::vector<float>& x) {
    std::vector<double> bounds(x.size());
    const int64_t size = rope.shape.size, half = size / 2;
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t other = static_cast<int64_t>(i) % size < half ? i + half : i - half;
      bounds[i] = 3 * kRounding * (std::fabs(x[i]) + std::fabs(x[other]));
    }
    return bounds;
  };
  const RopeResult first = run_rope_store(*bench.tested[0].backend, rope);
  CHECK(find_excess(expected.q, first.q, tolerance(rope.q)) == "");
  CHECK(find_excess(expected.k, first.k, tolerance(rope.k)) == "");

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

// --- attention
// -------------------------------------------------------------------------------------

struct AttentionCase {
  HeadShape shape;
  KvLayout layout;
  std::vector<Part> parts;
  BlockTables tables;
  std::vector<float> q;                          // [T, H, E]
  std::vector<std::vector<float>> keys, values;  // a sequence: [positions, K, E], as stored
  std::vector<std::byte> cache;
  float scale;

  AttentionCase(Random& random, const HeadShape& head_shape, KvType type, std::vector<Part> of,
                float query_deviation)
      : shape(head_shape),
        layout{type, shape.kv_heads, shape.size},
        parts(std::move(of)),
        tables(random, parts),
        q(random.normals(count_tokens(parts) * shape.heads * shape.size, query_deviation)),
        cache(stale_cache(layout, tables.blocks)),
        scale(1 / std::sqrt(static_cast<float>(shape.size))) {
    for (size_t s = 0; s < parts.size(); ++s) fill_sequence(random, s);
  }

 private:
  void fill_sequence(Random& random, size_t s) {
    const int64_t positions = parts[s].first_position + parts[s].tokens;
    const int64_t count = positions * shape.kv_heads * shape.size;
    keys.push_back(random.normals(count));
    values.push_back(random.normals(count));
    for (int64_t i = 0; i < count; i += shape.size) {
      const int64_t position = i / (shape.kv_heads * shape.size);
      const int64_t head = i / shape.size % shape.kv_heads;
      put(cache, layout, tables.tables[s], position, head, false, &keys[s][i]);
      put(cache, layout, tables.tables[s], position, head, true, &values[s][i]);
    }
  }
};

std::vector<float> run_attention(Backend& backend, const AttentionCase& attention,
                                 const std::vector<BatchSegment>& segments) {
  Memory memory(backend);
  const HeadShape& shape = attention.shape;
  const int64_t tokens = count_tokens(attention.parts);
  const View<float> flat = memory.output(tokens, shape.heads * shape.size);
  backend.reserve({.tokens = tokens,
                   .heads = shape.heads,
                   .head_size = shape.size,
                   .context = attention.tables.blocks * kKvBlockTokens});
  backend.attention({.q = {memory.place(attention.q), tokens, shape.heads, shape.size},
                     .kv = {attention.layout, memory.place(attention.cache)},
                     .segments = segments,
                     .scale = attention.scale,
                     .out = {flat.data(), tokens, shape.heads, shape.size}});
  return values_of(flat);
}

// What scores are made of, in units of log2: the query times scale * log2(e) in floats, quantized
// for int8 keys.
std::vector<float> scaled_query(const AttentionCase& attention, const float* q) {
  const int64_t size = attention.shape.size;
  const float factor = attention.scale * std::numbers::log2e_v<float>;
  std::vector<float> scaled(q, q + size);
  for (float& value : scaled) value *= factor;
  if (attention.layout.type != KvType::kInt8) return scaled;
  const Codes coded(scaled.data(), size);
  for (int64_t c = 0; c < size; ++c) scaled[c] = coded.scale * static_cast<float>(coded.codes[c]);
  return scaled;
}

// One query head: [E] outputs and how far floats may be from them.
//
// A score is a float sum of E products (E + 2 roundings of the sum of magnitudes; of int8 an exact
// sum and two products), its exponential has an argument rounded at its own magnitude and a
// relative error of 2^-20. The roundings of codes times scales here are two more of every product.
// If all weights are right up to a factor in [1 - d, 1 + d], so is their sum, and the output up to
// 2 d of the weighted magnitudes; sums over n positions add n roundings, scales of values two.
void attend(const AttentionCase& attention, size_t s, int64_t head, int64_t positions,
            const float* q, std::vector<float>& out, std::vector<double>& tolerance) {
  const int64_t size = attention.shape.size, kv_heads = attention.shape.kv_heads;
  const int64_t kv_head = head / (attention.shape.heads / kv_heads);
  const bool is_int8 = attention.layout.type == KvType::kInt8;
  const double roundings = is_int8 ? 8 : static_cast<double>(size + 8);
  const std::vector<float> query = scaled_query(attention, q);
  std::vector<double> scores(positions);
  double score_error = 0;
  for (int64_t p = 0; p < positions; ++p) {
    const float* key = &attention.keys[s][(p * kv_heads + kv_head) * size];
    double magnitude = 0;
    for (int64_t c = 0; c < size; ++c) {
      scores[p] += double{query[c]} * key[c];
      magnitude += std::fabs(double{query[c]} * key[c]);
    }
    score_error = std::max(score_error, magnitude * roundings * kRounding);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp2(score - largest);

  const double error = 2 * std::expm1(2 * score_error + 0x1p-20) +
                       static_cast<double>(positions + 1) * 2 * kRounding;
  for (int64_t c = 0; c < size; ++c) {
    double sum = 0, magnitude = 0;
    for (int64_t p = 0; p < positions; ++p) {
      const double value = attention.values[s][(p * kv_heads + kv_head) * size + c];
      sum += scores[p] / total * value;
      magnitude += scores[p] / total * std::fabs(value);
    }
    out.push_back(static_cast<float>(sum));
    tolerance.push_back(error * magnitude + 0x1p-126);
  }
}

// Against doubles from what was stored; then the same bits for one token a segment, segments in
// another order, and every thread count.
void check_attention_case(const Bench& bench, const AttentionCase& attention) {
  const HeadShape& shape = attention.shape;
  const auto segments = make_segments(attention.parts, attention.tables);
  std::vector<float> expected;
  std::vector<double> tolerance;
  for (size_t s = 0; s < segments.size(); ++s) {
    for (int64_t t = 0; t < segments[s].tokens; ++t) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const int64_t row = segments[s].first_row + t;
        attend(attention, s, h, segments[s].first_position + t + 1,
               &attention.q[(row * shape.heads + h) * shape.size], expected, tolerance);
      }
    }
  }
  const auto whole = run_attention(*bench.tested[0].backend, attention, segments);
  CHECK(find_excess(expected, whole, tolerance) == "");

  std::vector<BatchSegment> singles, sevens;
  for (const BatchSegment& segment : segments) {
    for (int64_t t = 0; t < segment.tokens; ++t) {
      singles.push_back({segment.first_row + t, 1, segment.first_position + t, segment.blocks});
    }
    for (int64_t t = 0; t < segment.tokens; t += 7) {
      sevens.push_back({segment.first_row + t, std::min<int64_t>(7, segment.tokens - t),
                        segment.first_position + t, segment.blocks});
    }
  }
  std::reverse(sevens.begin(), sevens.end());
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    CHECK(find_difference(whole, run_attention(*tested.backend, attention, segments)) == "");
    CHECK(find_difference(whole, run_attention(*tested.backend, attention, singles)) == "");
    CHECK(find_difference(whole, run_attention(*tested.backend, attention, sevens)) == "");
  }
}

std::string label(const HeadShape& shape, const char* type) {
  return std::to_string(shape.heads) + " heads, " + std::to_string(shape.kv_heads) +
         " kv heads of " + std::to_string(shape.size) + type;
}

}  // namespace

void check_rope_store(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const auto& kv : kKvTypes) {
    for (const HeadShape& shape : kHeadShapes) {
      INFO(label(shape, kv.name));
      Random random(static_cast<unsigned>(shape.size));
      check_rope_case(bench, RopeCase(random, shape, kv.type, {{0, 1}}));
      check_rope_case(bench,
                      RopeCase(random, shape, kv.type, {{13, 21}, {0, 16}, {31, 1}, {64, 5}}));
    }
  }
}

void check_attention(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const auto& kv : kKvTypes) {
    for (const HeadShape& shape : kHeadShapes) {
      INFO(label(shape, kv.name));
      Random random(static_cast<unsigned>(shape.size));
      check_attention_case(bench, AttentionCase(random, shape, kv.type, {{0, 1}}, 1));
      check_attention_case(
          bench, AttentionCase(random, shape, kv.type, {{0, 19}, {199, 1}, {183, 5}, {15, 2}}, 1));
      // All weights alike, and one weight that is nearly 1.
      check_attention_case(bench, AttentionCase(random, shape, kv.type, {{30, 3}}, 0));
      check_attention_case(bench, AttentionCase(random, shape, kv.type, {{77, 3}}, 40));
    }
    INFO("long contexts" << kv.name);
    Random random(7);
    check_attention_case(bench,
                         AttentionCase(random, {9, 3, 64}, kv.type, {{1500, 1}, {701, 9}}, 1));
  }
}

void check_all(const BackendFactory& make) {
  check_memory(make);
  check_embed(make);
  check_integer_products(make);
  check_normed_products(make);
  check_bad_numbers(make);
  check_float_products(make);
  check_gated_products(make);
  check_rope_store(make);
  check_attention(make);
}

}  // namespace mica::conformance
