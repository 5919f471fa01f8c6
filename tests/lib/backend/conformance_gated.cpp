// Cases of gated_linear: every activation, with a gate or plain.
#include <algorithm>
#include <doctest/doctest.h>
#include <numbers>

#include "tests/lib/backend/conformance_products.h"

namespace mica::conformance {
namespace {

struct Activated {
  double value;
  double error;  // that floats may make
};

// The exponential of silu and gelu_tanh may have a relative error of 2^-20 and an argument rounded
// at its own magnitude; where it leaves the range of floats anything below 1e-35 will do. gelu is a
// difference of two terms, either of which is rounded at the size of x at most, and may be off by
// 3e-8.
Activated activate(double x, Activation activation) {
  if (activation == Activation::kGelu) {
    const double value = x / 2 * std::erfc(-x / std::numbers::sqrt2);
    return {value, 2e-7 + 2 * kRounding * std::fabs(x)};
  }
  const double argument = activation == Activation::kSilu
                              ? x
                              : 2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
  const double value = x / (1 + std::exp(-argument));
  const double error = 0x1p-20 + std::fabs(argument) * 4 * kRounding;
  return {value, std::fabs(value) * error + 1e-35};
}

// All three are 1.13-Lipschitz.
std::vector<double> gated_tolerance(const std::vector<float>& gate, const std::vector<float>& up,
                                    const std::vector<double>& gate_error,
                                    const std::vector<double>& up_error, Activation activation) {
  std::vector<double> tolerance(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const Activated activated = activate(gate[i], activation);
    const double u = std::fabs(double{up[i]}) + up_error[i];
    tolerance[i] = (1.13 * gate_error[i] + activated.error) * u +
                   std::fabs(activated.value) * (up_error[i] + 2 * kRounding * u);
  }
  return tolerance;
}

struct GatedCase {
  DType gate_type, up_type;
  Activation activation = Activation::kSilu;
  bool with_norm = false;
  bool plain = false;
};

std::vector<double> product_tolerance(const Bench& bench, const ProductInput& input,
                                      const TestProjection& projection) {
  if (!bench.is_exact(input.tokens)) return bf16_tolerance(input, projection);
  if (projection.weight.dtype.group == 0) return float_tolerance(input, projection);
  if (!input.norm_weight.empty()) return integer_tolerance(input, projection);
  return std::vector<double>(input.tokens * projection.weight.rows);  // the reference's bits
}

void check_gated_tokens(const Bench& bench, const GatedCase& c, int64_t tokens) {
  Random random(c.gate_type.group + c.with_norm);
  const int64_t rows = 88, cols = 640;
  ProductInput input{tokens, cols, random.normals(tokens * cols, 2), {}};
  if (c.with_norm) input.norm_weight = random.normals(cols, 2);
  const TestProjection gate{random_weight(random, c.gate_type, rows, cols, Values::kUsual),
                            random.normals(rows, 20)};
  const TestProjection up{random_weight(random, c.up_type, rows, cols, Values::kUsual), {}};
  const auto gate_error = product_tolerance(bench, input, gate);
  auto up_error = product_tolerance(bench, input, up);
  Backend& reference = bench.is_exact(tokens) ? *bench.reference : *bench.float_reference;
  // What is activated stands first; alone it is the "up" of a plain feed-forward.
  auto parts = run_norm_linear(reference, input, {gate, up});
  if (c.plain) {
    parts[1].assign(parts[1].size(), 1.0f);
    up_error.assign(up_error.size(), 0);
  }
  const auto run = [&](Backend& backend, const ProductInput& of) {
    return c.plain ? run_gated_linear(backend, of, nullptr, gate, c.activation)
                   : run_gated_linear(backend, of, &gate, up, c.activation);
  };
  const auto expected = run(reference, input);
  const auto whole = run(*bench.tested[0].backend, input);
  const auto tolerance = gated_tolerance(parts[0], parts[1], gate_error, up_error, c.activation);
  CHECK(find_excess(expected, whole, tolerance) == "");
  if (c.gate_type.group == 0 || !bench.is_exact(tokens)) return;
  for (const TestedBackend& tested : bench.tested) {
    INFO(tested.backend->name());
    for (const int64_t chunk : {1, 7, 30}) {
      CAPTURE(chunk);
      std::vector<float> pieces;
      for (int64_t first = 0; first < tokens; first += chunk) {
        append(pieces, run(*tested.backend, input.rows(first, std::min(chunk, tokens - first))));
      }
      CHECK(find_difference(whole, pieces) == "");
    }
  }
}

void check_gated(const Bench& bench, const GatedCase& c) {
  check_gated_tokens(bench, c, 30);
  if (!bench.is_exact(30)) check_gated_tokens(bench, c, 8);
}

}  // namespace

void check_gated_products(const BackendFactory& make) {
  const Bench bench(make, Activations::kInt8);
  for (const DType& dtype : all_dtypes(640)) {
    INFO(dtype_name(dtype));
    check_gated(bench, {dtype, dtype});
    check_gated(bench, {dtype, dtype, Activation::kSilu, true});
  }
  const DType q4 = parse_dtype("q4g32"), q8 = parse_dtype("q8g32");
  check_gated(bench, {q4, q8, Activation::kSilu, true});
  check_gated(bench, {parse_dtype("q4mg64"), parse_dtype("q4sg64")});
  for (const Activation activation :
       {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh}) {
    CAPTURE(static_cast<int>(activation));
    for (const DType& dtype : {q4, q8, kF32}) {
      INFO(dtype_name(dtype));
      for (const bool plain : {false, true}) {
        CAPTURE(plain);
        check_gated(bench, {dtype, dtype, activation, false, plain});
        check_gated(bench, {dtype, dtype, activation, true, plain});
      }
    }
  }
}

}  // namespace mica::conformance
