// Cases in floats: memory, embeddings, products with float weights or float activations, gates.
#include <algorithm>
#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "tests/lib/backend/conformance_products.h"

namespace mica::conformance {
namespace {

std::vector<DType> all_dtypes(int64_t cols) {
  std::vector<DType> dtypes = panel_dtypes(cols);
  dtypes.insert(dtypes.end(), {kF32, kF16, kBF16});
  return dtypes;
}

void check_embed_type(const Bench& bench, const DType& dtype, Values values) {
  Random random(dtype.type);
  const int64_t cols = 640;
  const TestWeight table = random_weight(random, dtype, 100, cols, values);
  const std::vector<int32_t> ids = {0, 99, 15, 16, 99, 98, 3, 47};
  const auto run = [&](Backend& backend) {
    Memory memory(backend);
    const Weight weight = memory.place(table);
    const View<float> out = memory.output(static_cast<int64_t>(ids.size()), cols);
    backend.reserve({.tokens = static_cast<int64_t>(ids.size()), .input_cols = cols});
    backend.embed({.ids = ids, .table = &weight, .out = out});
    return values_of(out);
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
  for (const bool with_norm : {false, true}) {
    if (with_norm) input.norm_weight = random.normals(cols);
    CAPTURE(with_norm);
    auto tolerance = float_tolerance(input, projection);
    const auto expected = run_norm_linear(*bench.reference, input, {projection})[0];
    const auto logits = run_logits(*bench.reference, input, last, projection.weight);
    for (const TestedBackend& tested : bench.tested) {
      INFO(tested.backend->name());
      const auto actual = run_norm_linear(*tested.backend, input, {projection})[0];
      CHECK(find_excess(expected, actual, tolerance) == "");
      const auto actual_logits = run_logits(*tested.backend, input, last, projection.weight);
      CHECK(find_excess(logits, actual_logits, {tolerance.end() - rows, tolerance.end()}) == "");
    }
  }
  input.norm_weight.clear();
  auto tolerance = float_tolerance(input, projection);
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

double silu(double value) {
  return value / (1 + std::exp(-value));
}

// silu is 1.1-Lipschitz. Its exp may have a relative error of 2^-20 and an argument rounded at its
// own magnitude; where exp leaves the range of floats anything below 1e-35 will do.
std::vector<double> gated_tolerance(const std::vector<float>& gate, const std::vector<float>& up,
                                    const std::vector<double>& gate_error,
                                    const std::vector<double>& up_error) {
  std::vector<double> tolerance(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i], u = std::fabs(double{up[i]}) + up_error[i];
    const double silu_error =
        1.1 * gate_error[i] + std::fabs(silu(g)) * (0x1p-20 + std::fabs(g) * 2 * kRounding) + 1e-35;
    tolerance[i] = silu_error * u + std::fabs(silu(g)) * (up_error[i] + 2 * kRounding * u);
  }
  return tolerance;
}

void check_gated(const Bench& bench, const DType& gate_type, const DType& up_type, bool with_norm) {
  Random random(gate_type.group + with_norm);
  const int64_t rows = 88, cols = 640, tokens = 30;
  ProductInput input{tokens, cols, random.normals(tokens * cols, 2), {}};
  if (with_norm) input.norm_weight = random.normals(cols, 2);
  const TestProjection gate{random_weight(random, gate_type, rows, cols, Values::kUsual),
                            random.normals(rows, 20)};
  const TestProjection up{random_weight(random, up_type, rows, cols, Values::kUsual), {}};
  const bool is_integer = gate_type.group != 0;
  // Without norm, gate and up themselves are the reference's to the bit.
  std::vector<double> gate_error(tokens * rows), up_error(tokens * rows);
  if (with_norm || !is_integer) {
    gate_error = is_integer ? integer_tolerance(input, gate) : float_tolerance(input, gate);
    up_error = is_integer ? integer_tolerance(input, up) : float_tolerance(input, up);
  }
  const auto parts = run_norm_linear(*bench.reference, input, {gate, up});
  const auto expected = run_gated_linear(*bench.reference, input, gate, up);
  const auto whole = run_gated_linear(*bench.tested[0].backend, input, gate, up);
  CHECK(find_excess(expected, whole, gated_tolerance(parts[0], parts[1], gate_error, up_error)) ==
        "");
  if (!is_integer) return;
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    for (const int64_t chunk : {1, 7, 30}) {
      CAPTURE(chunk);
      std::vector<float> pieces;
      for (int64_t first = 0; first < tokens; first += chunk) {
        const ProductInput part = input.rows(first, std::min(chunk, tokens - first));
        append(pieces, run_gated_linear(*tested.backend, part, gate, up));
      }
      CHECK(find_difference(whole, pieces) == "");
    }
  }
}

}  // namespace

void check_memory(const BackendFactory& make) {
  const TestedBackend tested = make(2, Activations::kInt8);
  CHECK_FALSE(tested.backend->name().empty());
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{255}, uint64_t{1} << 20}) {
    const auto buffer = tested.backend->allocate(bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % 256 == 0);
    CHECK(buffer->bytes() >= bytes);
    CHECK(std::all_of(buffer->data(), buffer->data() + bytes,
                      [](std::byte b) { return b == std::byte{}; }));
  }
  for (const DType& dtype : all_dtypes(128)) CHECK_NOTHROW(tested.backend->require(dtype));
  DType unknown = parse_dtype("q4g32");
  unknown.type = 77;
  CHECK_THROWS_AS(tested.backend->require(unknown), Error);
}

void check_embed(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const DType& dtype : all_dtypes(640)) {
    INFO(dtype_name(dtype));
    check_embed_type(bench, dtype, Values::kUsual);
    check_embed_type(bench, dtype, Values::kExtreme);
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

void check_gated_products(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const DType& dtype : all_dtypes(640)) {
    INFO(dtype_name(dtype));
    check_gated(bench, dtype, dtype, false);
    check_gated(bench, dtype, dtype, true);
  }
  check_gated(bench, parse_dtype("q4g32"), parse_dtype("q8g32"), true);
  check_gated(bench, parse_dtype("q4mg64"), parse_dtype("q4sg64"), false);
}

}  // namespace mica::conformance
