#include "lib/runtime/sensitivity.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "lib/runtime/layer_inputs.h"
#include "lib/runtime/prediction_divergence.h"
#include "lib/runtime/source_layer.h"
#include "quant/coded_rows.h"

namespace mica {
namespace {

constexpr int64_t kEvery = 4;  // positions that are scored

}  // namespace

DType harm_dtype() {
  return parse_dtype("q4g32");
}

double round_matrix(View<float> weights, const DType& dtype, const Engine& engine) {
  constexpr int64_t kPiece = 64;
  CodedRows coded =
      make_coded_rows(*find_weight_type(dtype), dtype.group, weights.rows(), weights.row_size());
  std::vector<double> errors(static_cast<size_t>(weights.rows())), squares(errors.size());
  const auto lock = engine.lock();
  engine.pool().share(weights.rows(), kPiece, [&](int, Range rows) {
    std::vector<float> decoded(static_cast<size_t>(coded.cols));
    code_plain({.weights = {weights.row(rows.begin), rows.end - rows.begin, coded.cols},
                .coded = &coded,
                .first = rows.begin});
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      decode_row(coded, row, decoded.data());
      float* w = weights.row(row);
      for (int64_t k = 0; k < coded.cols; ++k) {
        errors[row] += (double{w[k]} - decoded[k]) * (double{w[k]} - decoded[k]);
        squares[row] += double{w[k]} * double{w[k]};
        w[k] = decoded[k];
      }
    }
  });
  double error = 0, square = 0;
  for (size_t row = 0; row < errors.size(); ++row) {
    error += errors[row];
    square += squares[row];
  }
  return square > 0 ? std::sqrt(error / square) : 0;
}

std::vector<Sensitivity> measure_sensitivity(const Importer& importer, const ModelConfig& config,
                                             const Engine& engine,
                                             const CalibrationWindows& windows,
                                             const std::function<void(double)>& report) {
  CalibrationPass base(importer, config, engine, windows);
  std::vector<CalibrationPass> harmed;
  // Each layer is run for all that was harmed before, four times more, and unharmed.
  const double units = std::size(kLayerInputs), layers = config.layers;
  const double steps = static_cast<double>(base.steps()) * layers * (units * (layers + 1) / 2 + 1);
  double done = 0;
  const auto between = [&] { report(std::min(1.0, ++done / steps)); };
  std::vector<Sensitivity> measured;
  for (int layer = 0; layer < config.layers; ++layer) {
    SourceLayer source(importer, config, layer);
    const LayerWeights& own = source.weights();
    for (CalibrationPass& pass : harmed) pass.advance(layer, own, between);
    for (const std::span<const Role> roles : kLayerInputs) {
      Sensitivity unit{.layer = layer};
      SourceLayer damaged(importer, config, layer);
      double error = 0;
      int count = 0;
      for (const Role role : roles) {
        if (!damaged.has(role) || damaged.matrix(role).row_size() % harm_dtype().group != 0)
          continue;
        unit.roles.push_back(role);
        error += round_matrix(damaged.matrix(role), harm_dtype(), engine);
        ++count;
      }
      if (count == 0) continue;
      unit.relative_error = error / count;
      harmed.push_back(base);
      harmed.back().advance(layer, damaged.weights(), between);
      measured.push_back(std::move(unit));
    }
    base.advance(layer, own, between);
  }
  PredictionDivergence comparison(importer, config, kEvery);
  comparison.add_model(base);
  for (const CalibrationPass& pass : harmed) comparison.add_model(pass);
  const std::vector<double> kl = comparison.run(engine, between);
  for (size_t i = 0; i < measured.size(); ++i) measured[i].kl = kl[i];
  return measured;
}

}  // namespace mica
