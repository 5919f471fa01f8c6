#include "lib/model/kv_cache.h"

#include <memory>

#include "lib/backend/reference_backend.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

constexpr KvLayout kLayout{.type = KvType::kF16, .kv_heads = 2, .head_size = 8};

std::vector<int32_t> blocks_of(const KvSequence& sequence) {
  return {sequence.blocks().begin(), sequence.blocks().end()};
}

TEST_CASE("a sequence takes a block for every 16 tokens, lowest first") {
  const auto backend = make_reference_backend(Activations::kInt8);
  KvPool pool(*backend, 3, kLayout, 4);
  KvSequence sequence(pool);
  sequence.resize(1);
  CHECK(blocks_of(sequence) == std::vector<int32_t>{0});
  sequence.resize(16);
  CHECK(blocks_of(sequence) == std::vector<int32_t>{0});
  sequence.resize(17);
  CHECK(blocks_of(sequence) == std::vector<int32_t>{0, 1});
}

TEST_CASE("truncation gives blocks back, and used ones are taken again first") {
  const auto backend = make_reference_backend(Activations::kInt8);
  KvPool pool(*backend, 1, kLayout, 8);
  KvSequence first(pool);
  first.resize(3 * 16);
  {
    KvSequence second(pool);
    second.resize(32);
    CHECK(blocks_of(second) == std::vector<int32_t>{3, 4});
    first.resize(20);
    CHECK(blocks_of(first) == std::vector<int32_t>{0, 1});
    second.resize(33);
    CHECK(blocks_of(second) == std::vector<int32_t>{3, 4, 2});
  }
  first.resize(16 * 8);
  CHECK(blocks_of(first) == std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("a pool that is empty says so and takes nothing") {
  const auto backend = make_reference_backend(Activations::kInt8);
  KvPool pool(*backend, 1, kLayout, 2);
  KvSequence sequence(pool);
  sequence.resize(16);
  const Error error = error_of([&] { sequence.resize(48); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CHECK(error.message() == "KV cache: expected 2 free blocks of 16 tokens, found 1");
  CHECK(blocks_of(sequence) == std::vector<int32_t>{0});
}

TEST_CASE("a block of all layers lies together, and blocks fill the pool's bytes") {
  const auto backend = make_reference_backend(Activations::kInt8);
  KvPool pool(*backend, 3, kLayout, 4);
  // 2 heads, keys and values, 16 tokens, 8 channels of 2 bytes
  CHECK(kLayout.block_bytes() == 2 * 2 * 16 * 8 * 2);
  CHECK(pool.layer(1).base - pool.layer(0).base == kLayout.block_bytes());
  CHECK(pool.layer(1).keys(1, 0) - pool.layer(1).keys(0, 0) == 3 * kLayout.block_bytes());
  CHECK(KvPool::bytes_of(3, kLayout, 4) == 3u * 4 * 1024);
  CHECK_THROWS_AS(KvPool::bytes_of(1 << 12, kLayout, int64_t{1} << 42), Error);
}

TEST_CASE("a block of int8 holds a byte an element and a float a position and head") {
  const auto bytes = [](KvType type) {
    return KvLayout{.type = type, .kv_heads = 3, .head_size = 64}.block_bytes();
  };
  CHECK(bytes(KvType::kF32) == 3 * 2 * 16 * 64 * 4);
  CHECK(bytes(KvType::kF16) == 3 * 2 * 16 * 64 * 2);
  CHECK(bytes(KvType::kBF16) == bytes(KvType::kF16));
  CHECK(bytes(KvType::kInt8) == 3 * 2 * 16 * (64 + 4));
}

}  // namespace
}  // namespace mica::testing
