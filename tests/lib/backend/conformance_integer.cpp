// Cases with int8 activations: the same bits as the reference where the arithmetic is normative,
// derived tolerances behind a norm, and one result for all threads and splits.
#include <doctest/doctest.h>
#include <limits>
#include <numeric>

#include "tests/lib/backend/conformance_products.h"

namespace mica::conformance {
namespace {

struct Shape {
  int64_t rows;  // N
  int64_t cols;  // K
};
constexpr Shape kShapes[] = {{1, 32},    {15, 64},  {16, 96},  {17, 128},
                             {192, 576}, {70, 640}, {33, 960}, {48, 1536}};
constexpr int64_t kTokenCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 17, 64, 100};
constexpr int64_t kMostTokens = 100;

std::string label(const DType& dtype, const Shape& shape) {
  return dtype_name(dtype) + " [" + std::to_string(shape.rows) + ", " + std::to_string(shape.cols) +
         "]";
}

// One projection without norm for all token counts; x begins at another row each time.
void check_linear(const Bench& bench, const DType& dtype, const Shape& shape, Values values,
                  std::span<const int64_t> token_counts) {
  Random random(static_cast<unsigned>(shape.rows + shape.cols + dtype.type + dtype.group));
  const int64_t most = token_counts.back();
  const ProductInput input{most, shape.cols, random_input(random, most, shape.cols), {}};
  const TestProjection projection{
      random_weight(random, dtype, shape.rows, shape.cols, values),
      values == Values::kUsual ? random.normals(shape.rows) : std::vector<float>{}};
  const ExpectedRows expected(bench, run_norm_linear(*bench.reference, input, {projection})[0],
                              input, projection);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    for (const int64_t tokens : token_counts) {
      CAPTURE(tokens);
      const int64_t first = (most - tokens) % 5;
      const auto actual = run_norm_linear(*tested.backend, input.rows(first, tokens), {projection});
      CHECK(expected.find_difference(first, tokens, actual[0]) == "");
    }
  }
}

// Projections of one group and different types, as q, k and v may have them.
void check_three_projections(const Bench& bench, int group) {
  Random random(static_cast<unsigned>(group));
  const int64_t cols = 640;
  const ProductInput input{9, cols, random_input(random, 9, cols), {}};
  const std::string suffix = std::string("g") + std::to_string(group);
  std::vector<TestProjection> projections;
  const std::pair<const char*, int64_t> kinds[] = {{"q4", 80}, {"q8", 17}, {"q4m", 33}};
  for (const auto& [prefix, rows] : kinds) {
    projections.push_back(
        {random_weight(random, parse_dtype(prefix + suffix), rows, cols, Values::kUsual),
         rows == 17 ? std::vector<float>{} : random.normals(rows)});
  }
  const auto outs = run_norm_linear(*bench.reference, input, projections);
  std::vector<ExpectedRows> expected;
  for (int i = 0; i < 3; ++i) expected.emplace_back(bench, outs[i], input, projections[i]);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    const auto actual = run_norm_linear(*tested.backend, input, projections);
    for (int i = 0; i < 3; ++i) CHECK(expected[i].find_difference(0, 9, actual[i]) == "");
  }
}

void check_linear_add(const Bench& bench, const DType& dtype, int64_t tokens, bool with_bias) {
  Random random(dtype.group);
  const int64_t rows = 50, cols = 1536;
  const ProductInput input{tokens, cols, random_input(random, tokens, cols), {}};
  const TestProjection projection{random_weight(random, dtype, rows, cols, Values::kUsual),
                                  with_bias ? random.normals(rows) : std::vector<float>{}};
  const std::vector<float> residual = random.normals(tokens * rows);
  for (const float scale : {1.0f, 0.22f}) {
    CAPTURE(scale);
    const bool is_exact = bench.is_exact(tokens);
    const auto expected = run_linear_add(is_exact ? *bench.reference : *bench.float_reference,
                                         input, projection, residual, scale);
    std::vector<double> tolerance;
    if (!is_exact) tolerance = bf16_tolerance(input, projection);
    for (size_t i = 0; i < tolerance.size(); ++i) {
      tolerance[i] =
          scale * tolerance[i] + 2 * kRounding * (std::fabs(expected[i]) + std::fabs(residual[i]));
    }
    for (const TestedBackend& tested : bench.tested) {
      INFO(tested.backend->name());
      const auto actual = run_linear_add(*tested.backend, input, projection, residual, scale);
      CHECK((is_exact ? find_difference(expected, actual)
                      : find_excess(expected, actual, tolerance)) == "");
    }
  }
}

void check_logits(const Bench& bench, const DType& dtype) {
  Random random(dtype.type);
  const int64_t cols = 576, tokens = 20, vocabulary = 3079;
  ProductInput input{tokens, cols, random_input(random, tokens, cols), {}};
  const TestWeight head = random_weight(random, dtype, vocabulary, cols, Values::kUsual);
  const std::vector<int32_t> rows = {19, 0, 4, 4, 10};
  const auto expected = run_logits(*bench.reference, input, rows, head);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    CHECK(find_difference(expected, run_logits(*tested.backend, input, rows, head)) == "");
    CHECK(find_difference(rows_of(expected, vocabulary, 1, 1),
                          run_logits(*tested.backend, input, {0}, head)) == "");
  }
}

// Scaled logits have the reference's bits, capped ones an error of the tangent's.
void check_capped_logits(const Bench& bench, const DType& dtype) {
  Random random(dtype.type);
  const int64_t cols = 576, vocabulary = 1000;
  const ProductInput input{1, cols, random.normals(cols), {}};
  const TestWeight head = random_weight(random, dtype, vocabulary, cols, Values::kUsual);
  const auto scaled = run_logits(*bench.reference, input, {0}, head, {.scale = 0.3f});
  const LogitsEnd end{.scale = 0.3f, .softcap = 3};
  const auto capped = run_logits(*bench.reference, input, {0}, head, end);
  std::vector<double> tolerance;
  for (const float logit : capped) tolerance.push_back(5e-7 * std::fabs(logit));
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    CHECK(find_difference(scaled, run_logits(*tested.backend, input, {0}, head, {.scale = 0.3f})) ==
          "");
    CHECK(find_excess(capped, run_logits(*tested.backend, input, {0}, head, end), tolerance) == "");
  }
}

std::vector<int32_t> first_rows(int64_t count) {
  std::vector<int32_t> rows(count);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Rows as a model's hidden states have them, of very different magnitudes; one of zeros.
ProductInput normed_input(Random& random, int64_t tokens, int64_t cols) {
  ProductInput input{tokens, cols, random.normals(tokens * cols), random.normals(cols)};
  constexpr float kMagnitudes[] = {1, 0.01f, 300, 0, 1e-9f};
  for (int64_t i = 0; i < tokens * cols; ++i) input.x[i] *= kMagnitudes[i / cols % 5];
  return input;
}

// The output of calls of `chunk` tokens.
std::vector<float> run_in_chunks(Backend& backend, const ProductInput& input, int64_t chunk,
                                 const TestProjection& projection) {
  std::vector<float> out;
  for (int64_t first = 0; first < input.tokens; first += chunk) {
    const ProductInput part = input.rows(first, std::min(chunk, input.tokens - first));
    append(out, run_norm_linear(backend, part, {projection})[0]);
  }
  return out;
}

// Within the tolerance for all tokens at once, or as many as are exact; then the same bits for
// every split and thread count.
void check_normed_linear(const Bench& bench, const DType& dtype, const Shape& shape) {
  Random random(dtype.group + dtype.type);
  const ProductInput input = normed_input(random, kMostTokens, shape.cols);
  const TestProjection projection{
      random_weight(random, dtype, shape.rows, shape.cols, Values::kUsual),
      random.normals(shape.rows)};
  const auto reference = run_norm_linear(*bench.reference, input, {projection})[0];
  const auto whole = run_in_chunks(*bench.tested[0].backend, input,
                                   std::min(kMostTokens, bench.exact_tokens), projection);
  CHECK(find_excess(reference, whole, integer_tolerance(input, projection)) == "");
  const ExpectedRows expected(bench, whole, input, projection);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    for (const int64_t chunk : {int64_t{1}, int64_t{7}, int64_t{64}, kMostTokens}) {
      CAPTURE(chunk);
      for (int64_t first = 0; first < kMostTokens; first += chunk) {
        const int64_t count = std::min(chunk, kMostTokens - first);
        const auto actual =
            run_norm_linear(*tested.backend, input.rows(first, count), {projection})[0];
        CHECK(expected.find_difference(first, count, actual) == "");
      }
    }
  }
}

// So many tokens that steps are cut into blocks of them, the last one short; logits of so many rows
// as well.
void check_many_tokens(const Bench& bench, const DType& dtype) {
  constexpr int64_t kCols = 128, kRows = 40;
  const int64_t most = std::min<int64_t>(48, bench.exact_tokens);
  Random random(dtype.type);
  const TestProjection projection{random_weight(random, dtype, kRows, kCols, Values::kUsual),
                                  random.normals(kRows)};
  for (const int64_t tokens : {193, 600, 1030}) {
    CAPTURE(tokens);
    const ProductInput input = normed_input(random, tokens, kCols);
    std::vector<float> logits;
    for (int64_t first = 0; first < tokens; first += most) {
      const ProductInput chunk = input.rows(first, std::min(most, tokens - first));
      append(logits, run_logits(*bench.tested[0].backend, chunk, first_rows(chunk.tokens),
                                projection.weight));
    }
    const ExpectedRows expected(
        bench, run_in_chunks(*bench.tested[0].backend, input, most, projection), input, projection);
    const ExpectedRows expected_logits(bench, logits, input, {projection.weight, {}});
    for (const TestedBackend& tested : bench.tested) {
      INFO(tested.backend->name());
      const auto linear = run_norm_linear(*tested.backend, input, {projection})[0];
      CHECK(expected.find_difference(0, tokens, linear) == "");
      const auto all = run_logits(*tested.backend, input, first_rows(tokens), projection.weight);
      CHECK(expected_logits.find_difference(0, tokens, all) == "");
    }
  }
}

// A row's logits have the same bits whatever rows are asked for beside it.
void check_normed_logits(const Bench& bench, const DType& dtype) {
  Random random(dtype.type);
  const int64_t cols = 576, vocabulary = 200;
  const ProductInput input = normed_input(random, 6, cols);
  const TestProjection head{random_weight(random, dtype, vocabulary, cols, Values::kUsual), {}};
  const auto expected =
      run_logits(*bench.tested[0].backend, input, {0, 1, 2, 3, 4, 5}, head.weight);
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    const auto actual = run_logits(*tested.backend, input, {5, 2}, head.weight);
    CHECK(find_difference(rows_of(expected, vocabulary, 5, 1), rows_of(actual, vocabulary, 0, 1)) ==
          "");
    CHECK(find_difference(rows_of(expected, vocabulary, 2, 1), rows_of(actual, vocabulary, 1, 1)) ==
          "");
  }
}

}  // namespace

void check_integer_products(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const Shape& shape : kShapes) {
    for (const DType& dtype : panel_dtypes(shape.cols)) {
      INFO(label(dtype, shape));
      check_linear(bench, dtype, shape, Values::kUsual, kTokenCounts);
    }
  }
  constexpr int64_t kFewTokens[] = {1, 4, 8};
  for (const DType& dtype : panel_dtypes(640)) {
    INFO(label(dtype, {40, 640}) << ", extreme scales");
    check_linear(bench, dtype, {40, 640}, Values::kExtreme, kFewTokens);
    INFO(label(dtype, {1000, 128}) << ", many panels");
    check_linear(bench, dtype, {1000, 128}, Values::kUsual, kFewTokens);
  }
  for (const int group : {32, 64, 128}) check_three_projections(bench, group);
  for (const DType& dtype : panel_dtypes(1536)) {
    INFO(dtype_name(dtype));
    check_linear_add(bench, dtype, 8, false);
    check_linear_add(bench, dtype, 11, false);
    check_linear_add(bench, dtype, 11, true);
  }
  for (const DType& dtype : panel_dtypes(32)) {
    INFO(dtype_name(dtype));
    check_logits(bench, dtype);
    check_capped_logits(bench, dtype);
  }
}

void check_normed_products(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const Shape& shape : {Shape{65, 576}, Shape{17, 1536}}) {
    for (const DType& dtype : panel_dtypes(shape.cols)) {
      INFO(label(dtype, shape));
      check_normed_linear(bench, dtype, shape);
    }
  }
  for (const DType& dtype : panel_dtypes(32)) {
    INFO(dtype_name(dtype));
    check_normed_logits(bench, dtype);
    check_many_tokens(bench, dtype);
  }
}

void check_bad_numbers(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const DType& dtype : panel_dtypes(128)) {
      INFO(label(dtype, {20, 128}) << " with " << bad);
      Random random(1);
      ProductInput input{5, 128, random.normals(5 * 128), {}};
      input.x[2 * 128 + 77] = bad;
      const TestProjection projection{random_weight(random, dtype, 20, 128, Values::kUsual), {}};
      const auto expected = run_norm_linear(*bench.reference, input, {projection})[0];
      for (int n = 0; n < 20; ++n) CHECK(std::isnan(expected[2 * 20 + n]));
      for (const TestedBackend& tested : bench.tested) {
        INFO(tested.backend->name());
        const auto actual = run_norm_linear(*tested.backend, input, {projection})[0];
        CHECK(find_difference(expected, actual) == "");
        const auto logits =
            run_logits(*tested.backend, input, {2, 0}, projection.weight, {.softcap = 3});
        for (int n = 0; n < 20; ++n) CHECK(std::isnan(logits[n]));
        for (int n = 20; n < 40; ++n) CHECK(std::isfinite(logits[n]));
      }
    }
  }
}

}  // namespace mica::conformance
