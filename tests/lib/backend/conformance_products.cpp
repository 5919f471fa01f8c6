#include "tests/lib/backend/conformance_products.h"

#include <algorithm>

#include "lib/backend/reference_product.h"
#include "quant/activations.h"

namespace mica::conformance {
namespace {

View<const float> place_optional(Memory& memory, const std::vector<float>& values) {
  if (values.empty()) return {};
  return {memory.place(values), static_cast<int64_t>(values.size())};
}

View<const float> place_input(Memory& memory, const ProductInput& input) {
  return {memory.place(input.x), input.tokens, input.cols};
}

Norm place_norm(Memory& memory, const ProductInput& input) {
  return {.kind = input.kind,
          .weight = place_optional(memory, input.norm_weight),
          .bias = place_optional(memory, input.norm_bias),
          .epsilon = input.epsilon};
}

void reserve(Backend& backend, const ProductInput& input, int64_t output_rows,
             int64_t logit_rows = 0) {
  backend.reserve({.tokens = input.tokens,
                   .logit_rows = logit_rows,
                   .input_cols = input.cols,
                   .output_rows = output_rows,
                   .float_weights = true});
}

// [T, K] times the transposed magnitudes of the weights, [T, N].
std::vector<double> multiply_magnitudes(const std::vector<double>& x, const TestWeight& weight) {
  const std::vector<float> w = decode_rows(weight.on_host(), 0, weight.rows);
  const auto tokens = static_cast<int64_t>(x.size()) / weight.cols;
  std::vector<double> out(tokens * weight.rows);
  for (int64_t i = 0; i < tokens * weight.rows; ++i) {
    const double* input = &x[i / weight.rows * weight.cols];
    const float* row = &w[i % weight.rows * weight.cols];
    for (int64_t k = 0; k < weight.cols; ++k) out[i] += input[k] * std::fabs(double{row[k]});
  }
  return out;
}

void add_bias_rounding(std::vector<double>& tolerance, const std::vector<float>& bias) {
  if (bias.empty()) return;
  for (size_t i = 0; i < tolerance.size(); ++i) {
    tolerance[i] += 2 * kRounding * (std::fabs(bias[i % bias.size()]) + tolerance[i]);
  }
}

}  // namespace

std::vector<std::vector<float>> run_norm_linear(Backend& backend, const ProductInput& input,
                                                const std::vector<TestProjection>& projections) {
  Memory memory(backend);
  std::vector<Weight> weights;
  std::vector<Projection> arguments;
  for (const TestProjection& projection : projections) {
    weights.push_back(memory.place(projection.weight));
  }
  for (size_t i = 0; i < projections.size(); ++i) {
    arguments.push_back({.weight = &weights[i],
                         .bias = place_optional(memory, projections[i].bias),
                         .out = memory.output(input.tokens, weights[i].rows)});
  }
  int64_t most_rows = 0;
  for (const Weight& weight : weights) most_rows = std::max(most_rows, weight.rows);
  reserve(backend, input, most_rows);
  backend.norm_linear({.x = place_input(memory, input),
                       .norm = place_norm(memory, input),
                       .projections = arguments});
  std::vector<std::vector<float>> outs;
  for (const Projection& argument : arguments) outs.push_back(memory.values_of(argument.out));
  return outs;
}

std::vector<float> run_linear_add(Backend& backend, const ProductInput& input,
                                  const TestProjection& projection,
                                  const std::vector<float>& residual, float scale) {
  Memory memory(backend);
  const Weight weight = memory.place(projection.weight);
  const View<float> out(memory.place(residual), input.tokens, weight.rows);
  reserve(backend, input, weight.rows);
  backend.linear_add({.x = place_input(memory, input),
                      .weight = &weight,
                      .bias = place_optional(memory, projection.bias),
                      .scale = scale,
                      .residual = out});
  return memory.values_of(out);
}

std::vector<float> run_logits(Backend& backend, const ProductInput& input,
                              const std::vector<int32_t>& rows, const TestWeight& head,
                              const LogitsEnd& end) {
  Memory memory(backend);
  const Weight weight = memory.place(head);
  const View<float> out = memory.output(static_cast<int64_t>(rows.size()), weight.rows);
  reserve(backend, input, 0, static_cast<int64_t>(rows.size()));
  backend.logits({.x = place_input(memory, input),
                  .rows = rows,
                  .norm = place_norm(memory, input),
                  .head = &weight,
                  .scale = end.scale,
                  .softcap = end.softcap,
                  .out = out});
  return memory.values_of(out);
}

std::vector<float> run_gated_linear(Backend& backend, const ProductInput& input,
                                    const TestProjection* gate, const TestProjection& up,
                                    Activation activation) {
  Memory memory(backend);
  const Weight up_weight = memory.place(up.weight);
  Weight gate_weight;
  View<const float> gate_bias;
  if (gate) gate_weight = memory.place(gate->weight);
  if (gate) gate_bias = place_optional(memory, gate->bias);
  const View<float> out = memory.output(input.tokens, up_weight.rows);
  reserve(backend, input, up_weight.rows);
  backend.gated_linear({.x = place_input(memory, input),
                        .norm = place_norm(memory, input),
                        .gate = gate ? &gate_weight : nullptr,
                        .up = &up_weight,
                        .gate_bias = gate_bias,
                        .up_bias = place_optional(memory, up.bias),
                        .activation = activation,
                        .out = out});
  return memory.values_of(out);
}

std::vector<float> run_norm_add(Backend& backend, const ProductInput& input,
                                const std::vector<float>& residual, float scale) {
  Memory memory(backend);
  const View<float> out(memory.place(residual), input.tokens, input.cols);
  reserve(backend, input, 0);
  backend.norm_add({.x = {memory.place(input.x), input.tokens, input.cols},
                    .norm = place_norm(memory, input),
                    .scale = scale,
                    .residual = out});
  return memory.values_of(out);
}

namespace {

// What a norm is made of.
struct RowMoments {
  double mean = 0, magnitude = 0, factor = 0;

  RowMoments(const float* x, const ProductInput& input) {
    const auto size = static_cast<double>(input.cols);
    double squares = 0;
    for (int64_t k = 0; k < input.cols; ++k) {
      magnitude += std::fabs(x[k]) / size;
      if (input.kind == NormKind::kLayer) mean += x[k] / size;
    }
    for (int64_t k = 0; k < input.cols; ++k) squares += (x[k] - mean) * (x[k] - mean);
    factor = 1 / std::sqrt(squares / size + input.epsilon);
  }
};

}  // namespace

double norm_factor_error(int64_t cols) {
  return (static_cast<double>(cols) / 16 + 8) * kRounding;
}

std::vector<double> normalize(const ProductInput& input) {
  std::vector<double> x(input.x.begin(), input.x.end());
  if (input.norm_weight.empty()) return x;
  for (int64_t t = 0; t < input.tokens; ++t) {
    const RowMoments moments(&input.x[t * input.cols], input);
    for (int64_t k = 0; k < input.cols; ++k) {
      double& value = x[t * input.cols + k];
      value = (value - moments.mean) * moments.factor * input.norm_weight[k];
      if (!input.norm_bias.empty()) value += input.norm_bias[k];
    }
  }
  return x;
}

// A mean is a float sum too, subtracted with one rounding; so is a bias added.
std::vector<double> norm_tolerance(const ProductInput& input) {
  std::vector<double> tolerance = normalize(input);
  for (int64_t t = 0; t < input.tokens; ++t) {
    const float* x = &input.x[t * input.cols];
    const RowMoments moments(x, input);
    for (int64_t k = 0; k < input.cols; ++k) {
      double& value = tolerance[t * input.cols + k];
      const double bias = input.norm_bias.empty() ? 0 : std::fabs(input.norm_bias[k]);
      value = (norm_factor_error(input.cols) + 4 * kRounding) * (std::fabs(value) + bias);
      if (input.kind == NormKind::kRms) continue;
      const double centred =
          norm_factor_error(input.cols) * moments.magnitude + kRounding * std::fabs(x[k]);
      value += 2 * centred * moments.factor * std::fabs(input.norm_weight[k]);
    }
  }
  return tolerance;
}

// With a norm, the inputs of the two products differ by roundings. An error of the norm's factor
// scales a group as a whole and leaves its codes alone, but for the cleared bits of the scale (up
// to 2^-21); each value's own few roundings come on top. So a code can only differ, by one, where x
// / scale is that close to a tie; elsewhere the product differs in proportion.
std::vector<double> integer_tolerance(const ProductInput& input, const TestProjection& projection) {
  const int group = projection.weight.dtype.group;
  const std::vector<double> x = normalize(input);
  const std::vector<float> rounded(x.begin(), x.end());
  std::vector<int8_t> codes(x.size());
  std::vector<float> scales(x.size() / group);
  for (int64_t t = 0; t < input.tokens; ++t) {
    quantize_activations(&rounded[t * input.cols], input.cols, group, &codes[t * input.cols],
                         &scales[t * input.cols / group]);
  }
  const double code_error = 127 * (0x1p-21 + 6 * kRounding);
  const double proportion = norm_factor_error(input.cols) + 0x1p-21 +
                            2 * static_cast<double>(input.cols / group + 1) * kRounding;
  std::vector<double> deviation(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double scale = scales[i / group];
    if (scale == 0) continue;
    const double code = x[i] / scale;
    const double to_tie = std::fabs(std::fabs(code - std::floor(code)) - 0.5);
    deviation[i] = scale * ((to_tie < code_error) + std::abs(codes[i]) * proportion);
  }
  std::vector<double> tolerance = multiply_magnitudes(deviation, projection.weight);
  add_bias_rounding(tolerance, projection.bias);
  return tolerance;
}

// A float sum of K products in any order: K roundings of at most the sum of magnitudes.
std::vector<double> float_tolerance(const ProductInput& input, const TestProjection& projection) {
  const double proportion = static_cast<double>(input.cols + 4) * kRounding;
  std::vector<double> deviation = normalize(input);
  for (double& value : deviation) value = proportion * std::fabs(value);
  if (!input.norm_weight.empty()) {
    const std::vector<double> norm = norm_tolerance(input);
    for (size_t i = 0; i < norm.size(); ++i) deviation[i] += norm[i];
  }
  std::vector<double> tolerance = multiply_magnitudes(deviation, projection.weight);
  for (double& value : tolerance) value += 0x1p-126;  // results may be flushed
  add_bias_rounding(tolerance, projection.bias);
  return tolerance;
}

// bf16 has 8 significant bits: either factor is off by 2^-8 of itself at most, or flushed to zero
// from below 2^-126. A matrix unit may cut where a float sum rounds: twice its error.
std::vector<double> bf16_tolerance(const ProductInput& input, const TestProjection& projection) {
  const double proportion =
      (1 + 0x1p-8) * (1 + 0x1p-8) - 1 + 2 * static_cast<double>(input.cols + 4) * kRounding;
  std::vector<double> deviation = normalize(input);
  for (double& value : deviation) value = proportion * std::fabs(value) + 0x1p-126;
  if (!input.norm_weight.empty()) {
    const std::vector<double> norm = norm_tolerance(input);
    for (size_t i = 0; i < norm.size(); ++i) deviation[i] += norm[i];
  }
  std::vector<double> tolerance = multiply_magnitudes(deviation, projection.weight);
  for (double& value : tolerance) value += 0x1p-126;
  add_bias_rounding(tolerance, projection.bias);
  return tolerance;
}

ExpectedRows::ExpectedRows(const Bench& bench, std::vector<float> exact, const ProductInput& input,
                           const TestProjection& projection)
    : bench_(bench), row_size_(projection.weight.rows), exact_(std::move(exact)) {
  if (bench.is_exact(input.tokens)) return;
  rounded_ = run_norm_linear(*bench.float_reference, input, {projection})[0];
  tolerance_ = bf16_tolerance(input, projection);
}

std::string ExpectedRows::find_difference(int64_t first, int64_t tokens,
                                          const std::vector<float>& actual) const {
  if (bench_.is_exact(tokens)) {
    return conformance::find_difference(rows_of(exact_, row_size_, first, tokens), actual);
  }
  const auto tolerance = tolerance_.begin() + first * row_size_;
  return find_excess(rows_of(rounded_, row_size_, first, tokens), actual,
                     {tolerance, tolerance + tokens * row_size_});
}

}  // namespace mica::conformance
