#include "tests/lib/backend/conformance_cache.h"

#include "lib/base/half.h"
#include "quant/activations.h"

namespace mica::conformance {

std::string label(const HeadShape& shape, const char* type) {
  return std::to_string(shape.heads) + " heads, " + std::to_string(shape.kv_heads) +
         " kv heads of " + std::to_string(shape.size) + type;
}

BlockTables::BlockTables(Random& random, const std::vector<Part>& parts) {
  std::vector<int32_t> pool;
  for (const Part& part : parts) {
    blocks += (part.first_position + part.tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  }
  blocks += 3;
  for (int32_t i = 0; i < blocks; ++i) {
    pool.insert(pool.begin() + random.below(i + 1), i);
  }
  for (const Part& part : parts) {
    const int64_t count = (part.first_position + part.tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    tables.emplace_back(pool.end() - count, pool.end());
    pool.resize(pool.size() - count);
  }
}

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

Codes::Codes(const float* x, int64_t size) : codes(size) {
  quantize_activations(x, size, static_cast<int>(size), codes.data(), &scale);
}

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

std::vector<std::byte> stale_cache(const KvLayout& layout, int64_t blocks) {
  return std::vector<std::byte>(blocks * layout.block_bytes(), std::byte{0xff});
}

}  // namespace mica::conformance
