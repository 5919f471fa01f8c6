// Cases in floats: embeddings, norms, products with float weights or float activations.
#include <algorithm>
#include <doctest/doctest.h>
#include <string_view>

#include "tests/lib/backend/conformance_products.h"

namespace mica::conformance {
namespace {

void check_embed_type(const Bench& bench, const DType& dtype, Values values, float scale) {
  Random random(dtype.type);
  const int64_t cols = 640;
  const TestWeight table = random_weight(random, dtype, 100, cols, values);
  const std::vector<int32_t> ids = {0, 99, 15, 16, 99, 98, 3, 47};
  const auto run = [&](Backend& backend) {
    Memory memory(backend);
    const Weight weight = memory.place(table);
    const View<float> out = memory.output(static_cast<int64_t>(ids.size()), cols);
    backend.reserve({.tokens = static_cast<int64_t>(ids.size()), .input_cols = cols});
    backend.embed({.ids = ids, .table = &weight, .scale = scale, .out = out});
    return memory.values_of(out);
  };
  const std::vector<float> expected = run(*bench.reference);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    // Zeros may differ in sign: scale 0 times a negative integer.
    const std::vector<float> actual = run(*tested.backend);
    CHECK(std::equal(expected.begin(), expected.end(), actual.begin(), actual.end()));
  }
}

// Every product operation against double accumulation; linear_add and logits follow norm_linear.
void check_float_product(const Bench& bench, const DType& dtype, int64_t rows, int64_t cols,
                         int64_t tokens) {
  Random random(static_cast<unsigned>(rows + tokens));
  ProductInput input{tokens, cols, random.normals(tokens * cols), {}};
  const TestProjection projection{random_weight(random, dtype, rows, cols, Values::kUsual),
                                  random.normals(rows)};
  const std::vector<float> residual = random.normals(tokens * rows);
  std::vector<int32_t> last = {static_cast<int32_t>(tokens - 1)};
  for (const char* norm : {"none", "rms", "layer", "layer with bias"}) {
    CAPTURE(norm);
    const std::string_view name = norm;
    if (name != "none") input.norm_weight = random.normals(cols);
    if (name.starts_with("layer")) input.kind = NormKind::kLayer;
    if (name.ends_with("bias")) input.norm_bias = random.normals(cols);
    const auto one = float_tolerance(input.rows(tokens - 1, 1), {projection.weight, {}});
    const auto tolerance = bench.is_exact(tokens) ? float_tolerance(input, projection)
                                                  : bf16_tolerance(input, projection);
    const auto expected = run_norm_linear(*bench.reference, input, {projection})[0];
    const auto logits = run_logits(*bench.reference, input, last, projection.weight);
    for (const TestedBackend& tested : bench.tested) {
      INFO(tested.backend->name());
      const auto actual = run_norm_linear(*tested.backend, input, {projection})[0];
      CHECK(find_excess(expected, actual, tolerance) == "");
      const auto actual_logits = run_logits(*tested.backend, input, last, projection.weight);
      CHECK(find_excess(logits, actual_logits, one) == "");
    }
  }
  input.norm_weight.clear();
  input.norm_bias.clear();
  auto tolerance = bench.is_exact(tokens) ? float_tolerance(input, projection)
                                          : bf16_tolerance(input, projection);
  const auto expected = run_linear_add(*bench.reference, input, projection, residual);
  for (size_t i = 0; i < tolerance.size(); ++i) {
    tolerance[i] += 2 * kRounding * (std::fabs(expected[i]) + std::fabs(residual[i]));
  }
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    const auto actual = run_linear_add(*tested.backend, input, projection, residual);
    CHECK(find_excess(expected, actual, tolerance) == "");
  }
}

void check_norm_add_case(const Bench& bench, const ProductInput& input, float scale) {
  Random random(static_cast<unsigned>(input.cols));
  const std::vector<float> residual = random.normals(input.tokens * input.cols, 3);
  const auto expected = run_norm_add(*bench.reference, input, residual, scale);
  std::vector<double> tolerance = norm_tolerance(input);
  for (size_t i = 0; i < tolerance.size(); ++i) {
    tolerance[i] = scale * tolerance[i] + 2 * kRounding * std::fabs(expected[i]);
  }
  const auto whole = run_norm_add(*bench.tested[0].backend, input, residual, scale);
  CHECK(find_excess(expected, whole, tolerance) == "");
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    CHECK(find_difference(whole, run_norm_add(*tested.backend, input, residual, scale)) == "");
    const auto one = run_norm_add(*tested.backend, input.rows(input.tokens - 1, 1),
                                  rows_of(residual, input.cols, input.tokens - 1, 1), scale);
    CHECK(find_difference(rows_of(whole, input.cols, input.tokens - 1, 1), one) == "");
  }
}

}  // namespace

void check_norm_add(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const int64_t cols : {1, 15, 64, 250, 640}) {
    CAPTURE(cols);
    Random random(static_cast<unsigned>(cols));
    ProductInput input{21, cols, random.normals(21 * cols), random.normals(cols)};
    check_norm_add_case(bench, input, 1);
    input.kind = NormKind::kLayer;
    input.norm_bias = random.normals(cols);
    check_norm_add_case(bench, input, 0.22f);
  }
}

void check_embed(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const DType& dtype : all_dtypes(640)) {
    INFO(dtype_name(dtype));
    check_embed_type(bench, dtype, Values::kUsual, 1);
    check_embed_type(bench, dtype, Values::kExtreme, 1);
    check_embed_type(bench, dtype, Values::kUsual, 25.298f);
  }
}

void check_float_products(const BackendFactory& make) {
  {
    const Bench bench(make, Activations::kInt8);
    for (const DType& dtype : {kF32, kF16, kBF16}) {
      for (const int64_t tokens : {1, 2, 8, 33}) {
        INFO(dtype_name(dtype) << ", tokens " << tokens);
        check_float_product(bench, dtype, 75, 576, tokens);
        check_float_product(bench, dtype, 1, 32, tokens);
      }
    }
  }
  const Bench bench(make, Activations::kF32);
  for (const DType& dtype : panel_dtypes(640)) {
    INFO(dtype_name(dtype) << " with float activations");
    check_float_product(bench, dtype, 37, 640, 1);
    check_float_product(bench, dtype, 37, 640, 19);
  }
}

}  // namespace mica::conformance
