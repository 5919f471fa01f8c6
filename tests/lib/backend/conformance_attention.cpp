// Cases of attention over block tables: all positions, or windows of them; capped scores.
#include <algorithm>
#include <doctest/doctest.h>
#include <numbers>

#include "tests/lib/backend/conformance_cache.h"

namespace mica::conformance {
namespace {

struct AttentionCase {
  HeadShape shape;
  KvLayout layout;
  std::vector<Part> parts;
  BlockTables tables;
  std::vector<float> q;                          // [T, H, E]
  std::vector<std::vector<float>> keys, values;  // a sequence: [positions, K, E], as stored
  std::vector<std::byte> cache;
  float scale;
  float softcap = 0;
  int64_t window;

  AttentionCase(Random& random, const HeadShape& head_shape, KvType type, std::vector<Part> of,
                float query_deviation, int64_t seen_positions = INT64_MAX)
      : shape(head_shape),
        layout(layout_of(shape, type)),
        parts(std::move(of)),
        tables(random, parts),
        q(random.normals(count_tokens(parts) * shape.heads * shape.size, query_deviation)),
        cache(stale_cache(layout, tables.blocks)),
        scale(1 / std::sqrt(static_cast<float>(shape.size))),
        window(seen_positions) {
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
      // What no token sees stays stale.
      if (position <= parts[s].first_position - window) continue;
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
                     .softcap = attention.softcap,
                     .window = attention.window,
                     .out = {flat.data(), tokens, shape.heads, shape.size}});
  return memory.values_of(flat);
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
// relative error of 2^-20. A cap makes differences of scores smaller, and rounds. The roundings of
// codes times scales here are two more of every product. If all weights are right up to a factor in
// [1 - d, 1 + d], so is their sum, and the output up to 2 d of the weighted magnitudes; sums over n
// positions add n roundings, scales of values two.
void attend(const AttentionCase& attention, size_t s, int64_t head, int64_t last, const float* q,
            std::vector<float>& out, std::vector<double>& tolerance) {
  const int64_t size = attention.shape.size, kv_heads = attention.shape.kv_heads;
  const int64_t kv_head = head / (attention.shape.heads / kv_heads);
  const bool is_int8 = attention.layout.type == KvType::kInt8;
  const double roundings = is_int8 ? 8 : static_cast<double>(size + 8);
  const std::vector<float> query = scaled_query(attention, q);
  const int64_t first = std::max<int64_t>(0, last - attention.window), positions = last - first;
  const double cap = attention.softcap * std::numbers::log2e;
  std::vector<double> scores(positions);
  double score_error = 0;
  for (int64_t p = 0; p < positions; ++p) {
    const float* key = &attention.keys[s][((first + p) * kv_heads + kv_head) * size];
    double magnitude = 0;
    for (int64_t c = 0; c < size; ++c) {
      scores[p] += double{query[c]} * key[c];
      magnitude += std::fabs(double{query[c]} * key[c]);
    }
    double error = magnitude * roundings * kRounding;
    if (cap != 0) {
      scores[p] = cap * std::tanh(scores[p] / cap);
      error += std::fabs(scores[p]) * (0x1p-20 + 4 * kRounding);
    }
    score_error = std::max(score_error, error);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) total += score = std::exp2(score - largest);

  const double error = 2 * std::expm1(2 * score_error + 0x1p-20) +
                       static_cast<double>(positions + 1) * 2 * kRounding;
  for (int64_t c = 0; c < size; ++c) {
    double sum = 0, magnitude = 0;
    for (int64_t p = 0; p < positions; ++p) {
      const double value = attention.values[s][((first + p) * kv_heads + kv_head) * size + c];
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

void check_shape(const Bench& bench, const HeadShape& shape, KvType type) {
  Random random(static_cast<unsigned>(shape.size));
  const std::vector<Part> parts = {{0, 19}, {199, 1}, {183, 5}, {15, 2}};
  check_attention_case(bench, AttentionCase(random, shape, type, {{0, 1}}, 1));
  check_attention_case(bench, AttentionCase(random, shape, type, parts, 1));
  // All weights alike, and one weight that is nearly 1.
  check_attention_case(bench, AttentionCase(random, shape, type, {{30, 3}}, 0));
  check_attention_case(bench, AttentionCase(random, shape, type, {{77, 3}}, 40));

  for (const int64_t window : {1, 7, 40}) {
    CAPTURE(window);
    check_attention_case(bench, AttentionCase(random, shape, type, parts, 1, window));
  }
  AttentionCase capped(random, shape, type, parts, 10);
  capped.softcap = 5;
  check_attention_case(bench, capped);
}

// Several pieces of positions, divided between threads or not.
void check_long_contexts(const Bench& bench, KvType type) {
  Random random(7);
  const HeadShape shape{9, 3, 64};
  check_attention_case(bench, AttentionCase(random, shape, type, {{1500, 1}, {701, 9}}, 1));
  for (const int64_t window : {100, 256, 700}) {
    CAPTURE(window);
    check_attention_case(bench,
                         AttentionCase(random, shape, type, {{1500, 1}, {701, 9}}, 1, window));
    // Tiles of tokens whose windows begin in different pieces.
    check_attention_case(bench, AttentionCase(random, shape, type, {{500, 60}}, 1, window));
  }
}

}  // namespace

void check_attention(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const NamedKvType& kv : kKvTypes) {
    for (const HeadShape& shape : kHeadShapes) {
      if (!layout_of(shape, kv.type).possible()) continue;
      INFO(label(shape, kv.name));
      check_shape(bench, shape, kv.type);
    }
    INFO("long contexts" << kv.name);
    check_long_contexts(bench, kv.type);
  }
}

void check_all(const BackendFactory& make) {
  check_memory(make);
  check_copies(make);
  check_embed(make);
  check_integer_products(make);
  check_normed_products(make);
  check_bad_numbers(make);
  check_float_products(make);
  check_gated_products(make);
  check_norm_add(make);
  check_rope_store(make);
  check_attention(make);
}

}  // namespace mica::conformance
