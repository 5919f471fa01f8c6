#include "lib/runtime/input_moments.h"

#include <array>
#include <cmath>
#include <optional>
#include <span>

#include "lib/runtime/layer_inputs.h"
#include "quant/hessian.h"

namespace mica {
namespace {

constexpr Regularization kRegularization;

// [T, K] as [K, T], rows times the roots of their shares; less `subtracted` [T, K], if any.
MatrixRows transpose(View<const float> x, View<const float> subtracted,
                     std::span<const float> shares, ThreadPool& pool, std::vector<float>& out) {
  constexpr int64_t kChannels = 16;
  out.resize(static_cast<size_t>(x.size()));
  pool.share(x.row_size(), kChannels, [&](int, Range channels) {
    for (int64_t t = 0; t < x.rows(); ++t) {
      const float* row = x.row(t);
      const float* less = subtracted.empty() ? nullptr : subtracted.row(t);
      const float factor = shares.empty() ? 1 : std::sqrt(shares[t]);
      for (int64_t k = channels.begin; k < channels.end; ++k)
        out[k * x.rows() + t] = factor * (less ? row[k] - less[k] : row[k]);
    }
  });
  return {out.data(), x.row_size(), x.rows()};
}

}  // namespace

InputMoments observe_input(const LayerInWork& work, size_t input, const Engine& engine,
                           const MatrixMath& math, const std::function<void()>& between) {
  const auto watched = std::array{&LayerWeights::q, &LayerWeights::attn_out, &LayerWeights::up,
                                  &LayerWeights::down}[input];
  const int64_t size = (work.source.weights().*watched).cols;
  HessianSum squares(size);
  std::optional<CrossSum> drift;
  CalibrationPass::Other beside;
  if (work.unquantized) {
    drift.emplace(size, size);
    beside = {work.unquantized_stream, &work.unquantized->weights()};
  }
  std::vector<float> here_values, drift_values;
  const auto add = [&](const ShownInput& here, View<const float> there) {
    const MatrixRows x = transpose(here.x, {}, here.shares, engine.pool(), here_values);
    const int64_t tokens = here.x.rows();
    engine.pool().share(squares.tiles(), 1, [&](int, Range tiles) {
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
        squares.add_tile(tile, x, tokens, math);
    });
    if (!drift) return;
    const MatrixRows d = transpose(there, here.x, here.shares, engine.pool(), drift_values);
    engine.pool().share(drift->tiles(), 1, [&](int, Range tiles) {
      for (int64_t tile = tiles.begin; tile < tiles.end; ++tile)
        drift->add_tile(tile, x, d, tokens, math);
    });
  };
  work.stream.observe(work.layer, work.source.weights(), beside, {watched, add}, between);
  const std::string& name = work.source.name(kLayerInputs[input].front());
  InputMoments moments{.hessian = squares.mean(kRegularization, name.c_str())};
  if (drift) moments.drift = std::move(*drift).mean(kRegularization.shrinkage);
  return moments;
}

}  // namespace mica
