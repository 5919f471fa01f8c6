// The cache as the conformance suite fills and reads it: shapes, block tables, and
// lib/backend/kv_layout.h written a second time.
#pragma once

#include "tests/lib/backend/conformance_data.h"

namespace mica::conformance {

struct HeadShape {
  int64_t heads;     // H
  int64_t kv_heads;  // K
  int64_t size;      // E
};
constexpr HeadShape kHeadShapes[] = {{1, 1, 64},   {9, 3, 64},  {4, 4, 80},  {8, 2, 96},
                                     {14, 2, 128}, {28, 4, 64}, {2, 1, 256}, {5, 5, 36},
                                     {6, 2, 100},  {3, 1, 10}};
struct NamedKvType {
  KvType type;
  const char* name;
};
constexpr NamedKvType kKvTypes[] = {{KvType::kF16, ", f16"},
                                    {KvType::kBF16, ", bf16"},
                                    {KvType::kF32, ", f32"},
                                    {KvType::kInt8, ", int8"}};

inline KvLayout layout_of(const HeadShape& shape, KvType type) {
  return {type, shape.kv_heads, shape.size};
}
std::string label(const HeadShape& shape, const char* type);

// A part of a sequence: positions [first_position, first_position + tokens).
struct Part {
  int64_t first_position;
  int64_t tokens;
};
int64_t count_tokens(const std::vector<Part>& parts);

// Block tables of as many sequences as there are parts, their blocks dealt from one shuffled pool
// that is larger than needed.
struct BlockTables {
  BlockTables(Random& random, const std::vector<Part>& parts);
  std::vector<std::vector<int32_t>> tables;
  int64_t blocks = 0;
};

std::vector<BatchSegment> make_segments(const std::vector<Part>& parts, const BlockTables& tables);

struct Codes {
  Codes(const float* x, int64_t size);
  std::vector<int8_t> codes;
  float scale;
};

// A cache whose every byte is 0xff: NaN in all types, for int8 in the scales.
std::vector<std::byte> stale_cache(const KvLayout& layout, int64_t blocks);
// Stores x, [E], as the key or value of a position. What the cache then holds replaces x.
void put(std::vector<std::byte>& cache, const KvLayout& layout, const std::vector<int32_t>& table,
         int64_t position, int64_t head, bool is_value, float* x);

}  // namespace mica::conformance
