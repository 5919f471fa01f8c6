#include "lib/runtime/prediction_divergence.h"

#include <algorithm>
#include <cmath>

#include "lib/backend/plain_norm.h"
#include "lib/base/error.h"
#include "lib/model/architecture.h"
#include "lib/runtime/blas_math.h"

namespace mica {

PredictionDivergence::PredictionDivergence(const Importer& importer, const ModelConfig& config,
                                           int64_t every)
    : importer_(importer), config_(config), every_(every), size_(config.hidden_size) {
  const std::vector<SourceTensor>& tensors = importer.model().tensors;
  const Role role = config.tied_embeddings ? Role::kTokenEmbedding : Role::kHead;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].role == role) head_ = i;
    if (tensors[i].role == Role::kOutputNorm) read(i, norm_weight_);
    if (tensors[i].role == Role::kOutputNormBias) read(i, norm_bias_);
  }
  if (norm_weight_.empty() || tensors[head_].role != role) {
    throw Error(ErrorCode::kInvalidFile,
                importer.model().name + ": expected a head and an output norm, source has none");
  }
  norm_ = {.kind = find_architecture(config.architecture, importer.model().name).norm,
           .weight = {norm_weight_.data(), config.hidden_size},
           .epsilon = config.norm_epsilon};
  if (!norm_bias_.empty()) norm_.bias = {norm_bias_.data(), config.hidden_size};
}

void PredictionDivergence::add_model(const CalibrationPass& pass) {
  const View<const float> stream = pass.stream();
  for (int64_t t = 0; t < stream.rows(); ++t) {
    const int64_t position = t % pass.context();
    if (position < pass.context() / 2 || position % every_ != 0) continue;
    rows_.resize(rows_.size() + static_cast<size_t>(size_));
    normalize_row(norm_, stream.row(t), size_, &rows_[rows_.size() - size_]);
  }
  ++models_;
}

std::vector<double> PredictionDivergence::run(const Engine& engine,
                                              const std::function<void()>& between) {
  constexpr int64_t kHeadRows = 4096, kPiece = 32;
  const int64_t scored = this->scored(), total = scored * models_;
  sums_.assign(static_cast<size_t>(total), {});
  std::vector<float> head;
  for (int64_t first = 0; first < config_.vocabulary_size; first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, config_.vocabulary_size - first);
    head.resize(static_cast<size_t>(count * size_));
    importer_.read_floats(head_, first, count, head.data());
    between();
    const auto lock = engine.lock();
    engine.pool().share(scored, kPiece, [&](int, Range part) { add_logits(head, count, part); });
  }
  std::vector<double> kl(static_cast<size_t>(models_ - 1));
  for (int64_t i = scored; i < total; ++i) {
    const Sum &base = sums_[i % scored], &other = sums_[i];
    kl[i / scored - 1] +=
        (other.cross / base.exponentials + other.greatest + std::log(other.exponentials) -
         base.greatest - std::log(base.exponentials)) /
        static_cast<double>(scored);
  }
  return kl;
}

void PredictionDivergence::read(size_t index, std::vector<float>& out) const {
  out.resize(static_cast<size_t>(importer_.model().tensors[index].cols));
  importer_.read_floats(index, 0, 1, out.data());
}

float PredictionDivergence::finish(float logit) const {
  logit *= config_.logits_scale;
  const float cap = config_.logits_softcap;
  return cap > 0 ? cap * std::tanh(logit / cap) : logit;
}

// Logits of a piece of the vocabulary, for all models' rows of these positions.
void PredictionDivergence::add_logits(const std::vector<float>& head, int64_t count,
                                      Range positions) {
  const MatrixMath math = blas_math();
  const int64_t rows = positions.end - positions.begin;
  std::vector<float> base(static_cast<size_t>(rows * count)), logits(base.size());
  std::vector<double> rescale(static_cast<size_t>(rows));  // of the bases' exponentials
  for (int64_t model = 0; model < models_; ++model) {
    std::vector<float>& out = model == 0 ? base : logits;
    const int64_t first = model * scored() + positions.begin;
    math.multiply({&rows_[first * size_], rows, size_}, {head.data(), count, size_}, size_,
                  out.data(), count);
    for (float& logit : out) logit = finish(logit);
    for (int64_t i = 0; i < rows; ++i) {
      const std::span<const float> row(&out[i * count], static_cast<size_t>(count));
      const double factor = add_row(row, sums_[first + i]);
      if (model == 0) {
        rescale[i] = factor;
        continue;
      }
      const double greatest = sums_[positions.begin + i].greatest;
      double& cross = sums_[first + i].cross;
      cross *= rescale[i];
      for (int64_t v = 0; v < count; ++v) {
        const float b = base[i * count + v];
        cross += std::exp(b - greatest) * (double{b} - double{row[v]});
      }
    }
  }
}

// Returns what the exponentials summed before are multiplied by.
double PredictionDivergence::add_row(std::span<const float> row, Sum& sum) {
  const double greatest = std::max<double>(sum.greatest, *std::max_element(row.begin(), row.end()));
  const double factor = std::exp(sum.greatest - greatest);
  sum.exponentials *= factor;
  for (const float logit : row) sum.exponentials += std::exp(logit - greatest);
  sum.greatest = greatest;
  return factor;
}

}  // namespace mica
