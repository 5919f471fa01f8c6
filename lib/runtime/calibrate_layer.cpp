#include "lib/runtime/calibrate_layer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>

#include "lib/runtime/blas_math.h"
#include "lib/runtime/layer_inputs.h"
#include "quant/awq.h"
#include "quant/check_weights.h"
#include "quant/descent.h"
#include "quant/gptq.h"

namespace mica {
namespace {

constexpr Regularization kRegularization;
constexpr int kSweeps = 2;

// [T, K] as [K, T], rows times the roots of their shares.
void transpose(View<const float> x, std::span<const float> shares, ThreadPool& pool,
               std::vector<float>& out) {
  constexpr int64_t kChannels = 16;
  out.resize(static_cast<size_t>(x.size()));
  pool.share(x.row_size(), kChannels, [&](int, Range channels) {
    for (int64_t t = 0; t < x.rows(); ++t) {
      const float* row = x.row(t);
      const float factor = shares.empty() ? 1 : std::sqrt(shares[t]);
      for (int64_t k = channels.begin; k < channels.end; ++k)
        out[k * x.rows() + t] = factor * row[k];
    }
  });
}

// The Hessian [K, K] of one of a layer's four inputs, with the weights as they are by now.
std::vector<float> observe(size_t input, const SourceLayer& source, int layer,
                           CalibrationPass& pass, const Engine& engine, const MatrixMath& math,
                           const std::function<void()>& between) {
  const auto watched = std::array{&LayerWeights::q, &LayerWeights::attn_out, &LayerWeights::up,
                                  &LayerWeights::down}[input];
  HessianSum sum((source.weights().*watched).cols);
  std::vector<float> transposed;
  const auto add = [&](View<const float> x, std::span<const float> shares) {
    transpose(x, shares, engine.pool(), transposed);
    engine.pool().share(sum.tiles(), 1, [&](int, Range tiles) {
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile) {
        sum.add_tile(tile, {transposed.data(), x.row_size(), x.rows()}, x.rows(), math);
      }
    });
  };
  pass.run(layer, source.weights(), {watched, add}, false, between);
  return sum.mean(kRegularization, source.name(kLayerInputs[input].front()).c_str());
}

struct Errors {
  double weight = 0, nearest = 0, end = 0;   // under the Hessian
  double weight_square = 0, end_square = 0;  // plainly
  Errors& operator+=(const Errors& other) {
    weight += other.weight;
    nearest += other.nearest;
    end += other.end;
    weight_square += other.weight_square;
    end_square += other.end_square;
    return *this;
  }
};

// What all matrices with one input share.
struct InputFacts {
  std::vector<float> hessian;        // [K, K]
  std::vector<float> diagonal;       // [K]
  std::optional<Feedback> feedback;  // from GPTQ on
  View<const float> matrix() const {
    const auto size = static_cast<int64_t>(diagonal.size());
    return {hessian.data(), size, size};
  }
};

// Where the factors of an input's scaling are divided out: a norm before it, or rows of the matrix
// whose output it is.
struct Fold {
  Role weight;
  Role bias;
};

std::optional<Fold> fold_of(size_t input, SourceLayer& source) {
  if (input == 0 && source.has(Role::kAttnNorm)) return Fold{Role::kAttnNorm, Role::kAttnNormBias};
  if (input == 2 && source.has(Role::kFfnNorm)) return Fold{Role::kFfnNorm, Role::kFfnNormBias};
  // Without a gate the activation stands between.
  if (input == 3 && source.has(Role::kFfnGate)) return Fold{Role::kFfnUp, Role::kFfnUpBias};
  return std::nullopt;
}

void divide_rows(View<float> matrix, const std::vector<float>& factors) {
  const int64_t each = matrix.size() / std::ssize(factors);
  for (int64_t i = 0; i < matrix.size(); ++i) matrix.data()[i] /= factors[i / each];
}

// Scales the input's matrices and what makes the input, exactly but for roundings of floats.
void fold_in(const std::vector<float>& factors, std::span<const Role> roles, const Fold& fold,
             SourceLayer& source) {
  for (const Role role : roles) {
    if (!source.has(role)) continue;
    const View<float> matrix = source.matrix(role);
    for (int64_t i = 0; i < matrix.size(); ++i)
      matrix.data()[i] *= factors[i % std::ssize(factors)];
  }
  divide_rows(source.matrix(fold.weight), factors);
  if (source.has(fold.bias)) divide_rows(source.matrix(fold.bias), factors);
}

// Whether all that scaling an input changes is written by calibration: what is carried over or
// stays in floats is written from the source as it was.
bool can_fold(const Fold& fold, std::span<const Role> roles, const LayerTask& task,
              const SourceLayer& source) {
  const auto is_written = [&](Role role) {
    return !source.has(role) || task.dtypes.contains(role);
  };
  const bool is_matrix = fold.weight == Role::kFfnUp;
  return std::all_of(roles.begin(), roles.end(), is_written) &&
         (!is_matrix || is_written(fold.weight));
}

// Searches factors for the matrices of an input and folds them in.
void scale_input(size_t input, const Fold& fold, const LayerTask& task,
                 const std::vector<float>& hessian, SourceLayer& source, const MatrixMath& math) {
  std::vector<View<const float>> matrices;
  DType dtype;
  for (const Role role : kLayerInputs[input]) {
    if (!source.has(role)) continue;
    dtype = task.dtypes.at(role);
    matrices.push_back(source.matrix(role));
  }
  const int64_t size = matrices.front().row_size();
  const AwqScaling scaling = choose_awq_scaling({.matrices = matrices,
                                                 .type = find_weight_type(dtype),
                                                 .group = dtype.group,
                                                 .hessian = {hessian.data(), size, size}},
                                                math);
  if (scaling.exponent == 0) return;
  fold_in(scaling.factors, kLayerInputs[input], fold, source);
}

InputFacts prepare(std::vector<float> hessian, int64_t size, CalibrationEffort effort,
                   const MatrixMath& math) {
  InputFacts facts{.hessian = std::move(hessian)};
  if (effort != CalibrationEffort::kSearch) {
    facts.feedback =
        make_feedback({facts.hessian.data(), size, size}, kRegularization.damping, math);
  }
  for (int64_t i = 0; i < size; ++i) facts.diagonal.push_back(facts.hessian[i * size + i]);
  return facts;
}

// Sum over the rows of w H w^T.
double weight_error(View<const float> w, View<const float> hessian, const MatrixMath& math) {
  std::vector<float> product(static_cast<size_t>(w.size()));
  math.multiply({w.data(), w.rows(), w.row_size()}, {hessian.data(), w.row_size(), w.row_size()},
                w.row_size(), product.data(), w.row_size());
  double sum = 0;
  for (int64_t i = 0; i < w.size(); ++i) sum += double{w.data()[i]} * double{product[i]};
  return sum;
}

Errors quantize_rows(const RowsInWork& work, const InputFacts& facts, CalibrationEffort effort,
                     const MatrixMath& math) {
  const View<const float> h = facts.matrix();
  Errors errors{.weight = weight_error(work.weights, h, math)};
  code_plain(work);
  errors.nearest = hessian_error(work, h, math);
  code_nearest(work, facts.feedback ? facts.feedback->importance.data() : facts.diagonal.data());
  if (facts.feedback) gptq(work, *facts.feedback, math);
  errors.end = effort == CalibrationEffort::kFull ? descend(work, h, kSweeps, math).after
                                                  : hessian_error(work, h, math);
  return errors;
}

// Replaces the weights by what they became.
void take_over(const CodedRows& coded, View<float> weights, Range rows, Errors& errors) {
  std::vector<float> decoded(static_cast<size_t>(coded.cols));
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    decode_row(coded, row, decoded.data());
    float* w = weights.row(row);
    for (int64_t k = 0; k < coded.cols; ++k) {
      const double difference = double{w[k]} - double{decoded[k]};
      errors.weight_square += double{w[k]} * double{w[k]};
      errors.end_square += difference * difference;
      w[k] = decoded[k];
    }
  }
}

CalibratedTensor quantize(Role role, View<float> weights, const DType& dtype,
                          const InputFacts& facts, CalibrationEffort effort, const Engine& engine) {
  const MatrixMath math = blas_math();
  CodedRows coded =
      make_coded_rows(*find_weight_type(dtype), dtype.group, weights.rows(), weights.row_size());
  const int64_t pieces = (weights.rows() + kGptqRows - 1) / kGptqRows;
  std::vector<Errors> errors(static_cast<size_t>(pieces));
  {
    const auto lock = engine.lock();
    engine.pool().share(pieces, 1, [&](int, Range part) {
      for (int64_t piece = part.begin; piece < part.end; ++piece) {
        const Range rows{piece * kGptqRows, std::min(weights.rows(), (piece + 1) * kGptqRows)};
        const RowsInWork work{
            .weights = {weights.row(rows.begin), rows.end - rows.begin, weights.row_size()},
            .coded = &coded,
            .first = rows.begin};
        errors[piece] = quantize_rows(work, facts, effort, math);
        take_over(coded, weights, rows, errors[piece]);
      }
    });
  }
  Errors sum;
  for (const Errors& piece : errors) sum += piece;
  const auto ratio = [](double error, double whole) {
    return whole > 0 ? std::sqrt(std::max(0.0, error) / whole) : 0;
  };
  return {.role = role,
          .bytes = pack_rows(coded),
          .nearest_error = ratio(sum.nearest, sum.weight),
          .output_error = ratio(sum.end, sum.weight),
          .relative_error = ratio(sum.end_square, sum.weight_square)};
}

// That the types can hold the matrices.
void check_matrices(const LayerTask& task, SourceLayer& source) {
  for (const auto& [role, dtype] : task.dtypes) {
    check_weights(source.matrix(role), dtype, 0, source.name(role));
  }
}

// Adds the vectors that may have taken in factors.
void append_folded(SourceLayer& source, std::vector<CalibratedTensor>& tensors) {
  for (const Role role : {Role::kAttnNorm, Role::kAttnNormBias, Role::kFfnNorm, Role::kFfnNormBias,
                          Role::kFfnUpBias}) {
    if (!source.has(role)) continue;
    const View<float> values = source.matrix(role);
    const Bytes bytes = std::as_bytes(std::span(values.data(), static_cast<size_t>(values.size())));
    tensors.push_back({.role = role, .bytes = {bytes.begin(), bytes.end()}});
  }
}

}  // namespace

std::vector<CalibratedTensor> calibrate_layer(SourceLayer& source, const LayerTask& task,
                                              CalibrationPass& pass, const Engine& engine,
                                              const std::function<void()>& between) {
  const MatrixMath math = blas_math();
  check_matrices(task, source);
  if (task.awq) {
    // The last input first: its factors go to rows of matrices that have another input.
    for (size_t i = std::size(kLayerInputs); i-- > 0;) {
      const std::optional<Fold> fold = fold_of(i, source);
      if (!fold || !can_fold(*fold, kLayerInputs[i], task, source)) continue;
      scale_input(i, *fold, task, observe(i, source, task.layer, pass, engine, math, between),
                  source, math);
    }
    check_matrices(task, source);
  }
  std::vector<CalibratedTensor> tensors;
  for (size_t i = 0; i < std::size(kLayerInputs); ++i) {
    std::optional<InputFacts> facts;
    for (const Role role : kLayerInputs[i]) {
      const auto dtype = task.dtypes.find(role);
      if (dtype == task.dtypes.end()) continue;
      const View<float> weights = source.matrix(role);
      if (!facts) {
        facts = prepare(observe(i, source, task.layer, pass, engine, math, between),
                        weights.row_size(), task.effort, math);
      }
      between();
      tensors.push_back(quantize(role, weights, dtype->second, *facts, task.effort, engine));
    }
  }
  if (task.awq) append_folded(source, tensors);
  return tensors;
}

}  // namespace mica
