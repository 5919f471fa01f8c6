#include "lib/runtime/calibrate_layer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>

#include "lib/runtime/blas_math.h"
#include "lib/runtime/input_moments.h"
#include "lib/runtime/layer_inputs.h"
#include "quant/awq.h"
#include "quant/check_weights.h"
#include "quant/descent.h"
#include "quant/gptq.h"
#include "quant/target.h"

namespace mica {
namespace {

constexpr Regularization kRegularization;
constexpr int kSweeps = 2;
// Of the way to the outputs of the unquantized model. What a text shows of it is mostly noise in
// the directions that hardly occur, which damping takes away (quant/README.md).
constexpr double kTargetShare = 0.5;
constexpr double kTargetDamping = 0.1;  // of the mean diagonal

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

// The Hessian's factors with more on the diagonal, which it has only meanwhile.
Feedback make_solver(View<float> hessian, const MatrixMath& math) {
  const int64_t size = hessian.rows();
  std::vector<float> diagonal(static_cast<size_t>(size));
  double trace = 0;
  for (int64_t i = 0; i < size; ++i) trace += diagonal[i] = hessian.row(i)[i];
  const double added = kTargetDamping * trace / static_cast<double>(size);
  for (int64_t i = 0; i < size; ++i) hessian.row(i)[i] += static_cast<float>(added);
  Feedback solver = make_feedback(hessian, kTargetDamping, math);
  for (int64_t i = 0; i < size; ++i) hessian.row(i)[i] = diagonal[i];
  return solver;
}

using Targets = std::map<Role, std::vector<float>>;

// What the matrices of an input are quantized towards; none without drift, of which is taken leave.
Targets find_targets(size_t input, const LayerTask& task, SourceLayer& source,
                     InputMoments& moments, const Engine& engine, const MatrixMath& math) {
  Targets targets;
  const std::vector<float> drift = std::move(moments.drift);
  if (drift.empty()) return targets;
  const int64_t size = source.matrix(kLayerInputs[input].front()).row_size();
  const Feedback solver = make_solver({moments.hessian.data(), size, size}, math);
  const auto lock = engine.lock();
  for (const Role role : kLayerInputs[input]) {
    if (!task.dtypes.contains(role)) continue;
    const View<float> weights = source.matrix(role);
    std::vector<float>& values = targets[role];
    values.assign(weights.data(), weights.data() + weights.size());
    const View<float> rows(values.data(), weights.rows(), size);
    engine.pool().share((rows.rows() + kGptqRows - 1) / kGptqRows, 1, [&](int, Range pieces) {
      for (int64_t piece = pieces.begin; piece < pieces.end; ++piece) {
        const int64_t first = piece * kGptqRows;
        aim(rows.slice(first, std::min(kGptqRows, rows.rows() - first)),
            {.drift = {drift.data(), size, size}, .share = kTargetShare}, solver, math);
      }
    });
  }
  return targets;
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

// source: the rows as they were, to compare with; work: their targets.
Errors quantize_rows(const RowsInWork& source, const RowsInWork& work, const InputFacts& facts,
                     CalibrationEffort effort, const MatrixMath& math) {
  const View<const float> h = facts.matrix();
  Errors errors{.weight = weight_error(source.weights, h, math)};
  code_plain(source);
  errors.nearest = hessian_error(source, h, math);
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

// A matrix, and what it is quantized towards.
struct MatrixWork {
  Role role;
  View<float> weights;
  View<const float> targets;
  DType dtype;
};

CalibratedTensor quantize(const MatrixWork& matrix, const InputFacts& facts,
                          CalibrationEffort effort, const Engine& engine) {
  const MatrixMath math = blas_math();
  const View<float> weights = matrix.weights;
  CodedRows coded = make_coded_rows(*find_weight_type(matrix.dtype), matrix.dtype.group,
                                    weights.rows(), weights.row_size());
  const int64_t pieces = (weights.rows() + kGptqRows - 1) / kGptqRows;
  std::vector<Errors> errors(static_cast<size_t>(pieces));
  {
    const auto lock = engine.lock();
    engine.pool().share(pieces, 1, [&](int, Range part) {
      for (int64_t piece = part.begin; piece < part.end; ++piece) {
        const Range rows{piece * kGptqRows, std::min(weights.rows(), (piece + 1) * kGptqRows)};
        const auto piece_of = [&](View<const float> of) {
          return RowsInWork{.weights = of.slice(rows.begin, rows.end - rows.begin),
                            .coded = &coded,
                            .first = rows.begin};
        };
        errors[piece] =
            quantize_rows(piece_of(weights), piece_of(matrix.targets), facts, effort, math);
        take_over(coded, weights, rows, errors[piece]);
      }
    });
  }
  Errors sum;
  for (const Errors& piece : errors) sum += piece;
  const auto ratio = [](double error, double whole) {
    return whole > 0 ? std::sqrt(std::max(0.0, error) / whole) : 0;
  };
  return {.role = matrix.role,
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

bool aims(CalibrationEffort effort) {
  return effort != CalibrationEffort::kSearch;
}

std::vector<CalibratedTensor> calibrate_layer(SourceLayer& source, const LayerTask& task,
                                              const LayerStreams& streams, const LayerModel& model,
                                              const std::function<void()>& between) {
  const MatrixMath math = blas_math();
  const Engine& engine = model.engine;
  LayerInWork work{.layer = task.layer, .source = source, .stream = streams.here};
  check_matrices(task, source);
  if (task.awq) {
    // The last input first: its factors go to rows of matrices that have another input.
    for (size_t i = std::size(kLayerInputs); i-- > 0;) {
      const std::optional<Fold> fold = fold_of(i, source);
      if (!fold || !can_fold(*fold, kLayerInputs[i], task, source)) continue;
      scale_input(i, *fold, task, observe_input(work, i, engine, math, between).hessian, source,
                  math);
    }
    check_matrices(task, source);
  }
  std::optional<SourceLayer> unquantized;
  if (streams.unquantized) {
    unquantized.emplace(model.importer, model.config, task.layer);
    unquantized->copy_from(source);  // with the factors
    work.unquantized = &*unquantized;
    work.unquantized_stream = streams.unquantized;
  }
  std::vector<CalibratedTensor> tensors;
  for (size_t i = 0; i < std::size(kLayerInputs); ++i) {
    const auto is_quantized = [&](Role role) { return task.dtypes.contains(role); };
    if (std::none_of(kLayerInputs[i].begin(), kLayerInputs[i].end(), is_quantized)) continue;
    InputMoments moments = observe_input(work, i, engine, math, between);
    const Targets targets = find_targets(i, task, source, moments, engine, math);
    const int64_t size = source.matrix(kLayerInputs[i].front()).row_size();
    const InputFacts facts = prepare(std::move(moments.hessian), size, task.effort, math);
    for (const Role role : kLayerInputs[i]) {
      if (!is_quantized(role)) continue;
      between();
      const View<float> weights = source.matrix(role);
      const auto found = targets.find(role);
      const View<const float> aimed =
          found == targets.end()
              ? View<const float>(weights)
              : View<const float>(found->second.data(), weights.rows(), weights.row_size());
      tensors.push_back(quantize(
          {.role = role, .weights = weights, .targets = aimed, .dtype = task.dtypes.at(role)},
          facts, task.effort, engine));
    }
  }
  if (task.awq) append_folded(source, tensors);
  return tensors;
}

}  // namespace mica
