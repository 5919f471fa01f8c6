// Few and odd cases of every operation, small enough to run under ASan in each ./check: the host
// build puts every buffer in a heap block of its own, so that a kernel that leaves one is seen.
#include <cmath>
#include <doctest/doctest.h>

#include "backends/cuda/cuda_backend.h"
#include "lib/backend/reference_backend.h"
#include "tests/lib/backend/conformance_cache.h"
#include "tests/lib/backend/conformance_products.h"

namespace mica {
namespace {

using namespace conformance;

std::unique_ptr<Backend> make(int64_t gemm_tokens = 0) {
  return cuda::make_cuda_backend({.gemm_tokens = gemm_tokens});
}

TEST_CASE("products of every type and few, several and many tokens have the reference's bits") {
  const auto tested = make();
  const auto reference = make_reference_backend(Activations::kInt8);
  for (const DType& dtype : panel_dtypes(384)) {
    INFO(dtype_name(dtype));
    Random random(dtype.group + dtype.type);
    const TestProjection projection{random_weight(random, dtype, 37, 384, Values::kUsual),
                                    random.normals(37)};
    for (const int64_t tokens : {1, 2, 3, 7, 9, 19, 50}) {
      CAPTURE(tokens);
      const ProductInput input{tokens, 384, random_input(random, tokens, 384), {}};
      CHECK(find_difference(run_norm_linear(*reference, input, {projection})[0],
                            run_norm_linear(*tested, input, {projection})[0]) == "");
      const std::vector<int32_t> last = {static_cast<int32_t>(tokens - 1), 0};
      CHECK(find_difference(run_logits(*reference, input, last, projection.weight),
                            run_logits(*tested, input, last, projection.weight)) == "");
    }
  }
}

TEST_CASE("float rows of odd lengths, which no vector load fits, are multiplied") {
  const auto tested = make();
  const auto reference = make_reference_backend(Activations::kInt8);
  for (const DType& dtype : {kF32, kF16, kBF16}) {
    for (const int64_t cols : {5, 36, 250}) {
      for (const int64_t tokens : {1, 3, 11}) {
        INFO(dtype_name(dtype) << ", " << cols << " columns, " << tokens << " tokens");
        Random random(static_cast<unsigned>(cols));
        const ProductInput input{tokens, cols, random.normals(tokens * cols), {}};
        const TestProjection projection{random_weight(random, dtype, 19, cols, Values::kUsual), {}};
        CHECK(find_excess(run_norm_linear(*reference, input, {projection})[0],
                          run_norm_linear(*tested, input, {projection})[0],
                          float_tolerance(input, projection)) == "");
      }
    }
  }
}

TEST_CASE("a gate and a residual sum, streamed, tiled and by bf16") {
  const auto reference = make_reference_backend(Activations::kInt8);
  for (const int64_t gemm_tokens : {0, 9}) {
    const auto tested = make(gemm_tokens);
    for (const int64_t tokens : {2, 21}) {
      CAPTURE(tokens);
      Random random(3);
      const DType dtype = parse_dtype("q4mg32");
      const ProductInput input{tokens, 64, random.normals(tokens * 64), random.normals(64)};
      const TestProjection gate{random_weight(random, dtype, 33, 64, Values::kUsual), {}};
      const TestProjection up{random_weight(random, dtype, 33, 64, Values::kUsual), {}};
      const auto expected = run_gated_linear(*reference, input, &gate, up, Activation::kGeluTanh);
      const auto actual = run_gated_linear(*tested, input, &gate, up, Activation::kGeluTanh);
      for (size_t i = 0; i < expected.size(); ++i) {
        CHECK(actual[i] == doctest::Approx(expected[i]).epsilon(0.1));
      }
    }
  }
}

// Uniform queries: the output is the mean of the values seen, whatever the keys.
TEST_CASE("attention walks block tables to their last position and no further") {
  const auto tested = make();
  for (const NamedKvType& kv : kKvTypes) {
    for (const HeadShape& shape : {HeadShape{6, 2, 16}, HeadShape{11, 1, 48}}) {
      INFO(label(shape, kv.name));
      Random random(9);
      const KvLayout layout = layout_of(shape, kv.type);
      const std::vector<Part> parts = {{0, 3}, {141, 2}};
      const BlockTables tables(random, parts);
      std::vector<std::byte> cache = stale_cache(layout, tables.blocks);
      std::vector<double> means;
      for (size_t s = 0; s < parts.size(); ++s) {
        const int64_t positions = parts[s].first_position + parts[s].tokens;
        std::vector<double> sum(shape.kv_heads * shape.size);
        for (int64_t p = 0; p < positions; ++p) {
          for (int64_t h = 0; h < shape.kv_heads; ++h) {
            std::vector<float> key = random.normals(shape.size), value = random.normals(shape.size);
            put(cache, layout, tables.tables[s], p, h, false, key.data());
            put(cache, layout, tables.tables[s], p, h, true, value.data());
            for (int64_t c = 0; c < shape.size; ++c) sum[h * shape.size + c] += value[c];
          }
          if (p < parts[s].first_position) continue;
          for (int64_t i = 0; i < shape.heads * shape.size; ++i) {
            const int64_t head = i / shape.size / (shape.heads / shape.kv_heads);
            means.push_back(sum[head * shape.size + i % shape.size] / static_cast<double>(p + 1));
          }
        }
      }
      Memory memory(*tested);
      const int64_t tokens = count_tokens(parts), size = shape.heads * shape.size;
      const View<float> out = memory.output(tokens, size);
      tested->reserve({.tokens = tokens,
                       .heads = shape.heads,
                       .head_size = shape.size,
                       .context = tables.blocks * kKvBlockTokens});
      const std::vector<float> q(tokens * size);
      const auto segments = make_segments(parts, tables);
      tested->attention({.q = {memory.place(q), tokens, shape.heads, shape.size},
                         .kv = {layout, memory.place(cache)},
                         .segments = segments,
                         .out = {out.data(), tokens, shape.heads, shape.size}});
      const auto found = memory.values_of(out);
      for (size_t i = 0; i < means.size(); ++i) {
        REQUIRE(std::fabs(found[i] - means[i]) < 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace mica
