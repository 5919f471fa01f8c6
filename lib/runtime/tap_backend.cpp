#include "lib/runtime/tap_backend.h"

#include <cmath>

#include "lib/backend/plain_norm.h"

namespace mica {
namespace {

// What a matrix adds to the residual stream is seen by those behind it through a norm of the
// stream. Relative to each row an error would count by 1 / rms^2, but the first token, whose rows
// may be a hundred times the others, holds up the attention of them all: 1 / rms (quant/README.md).
void divide_by_rms(View<const float> rows, std::vector<float>& shares) {
  for (int64_t t = 0; t < rows.rows(); ++t) {
    double sum = 0;
    for (int64_t i = 0; i < rows.row_size(); ++i) sum += double{rows.row(t)[i]} * rows.row(t)[i];
    const double rms = std::sqrt(sum / static_cast<double>(rows.row_size()));
    shares[t] = rms > 0 ? static_cast<float>(shares[t] / rms) : 0;
  }
}

}  // namespace

void TapBackend::embed(const EmbedArgs& args) {
  is_done_ = false;
  inner_.embed(args);
}

void TapBackend::rope_store_kv(const RopeStoreArgs& args) {
  if (!is_done_) inner_.rope_store_kv(args);
}

void TapBackend::attention(const AttentionArgs& args) {
  if (!is_done_) inner_.attention(args);
}

void TapBackend::show(View<const float> x, const Norm& norm) {
  is_done_ = true;
  if (!norm.present()) return show_({.x = x});
  normalized_.resize(static_cast<size_t>(x.size()));
  for (int64_t row = 0; row < x.rows(); ++row) {
    normalize_row(norm, x.row(row), x.row_size(), &normalized_[row * x.row_size()]);
  }
  show_({.x = {normalized_.data(), x.rows(), x.row_size()}});
}

void TapBackend::norm_linear(const NormLinearArgs& args) {
  if (is_done_) return;
  const bool is_watched = args.projections.front().weight == watched_;
  const bool is_product = !args.norm.present() && args.projections.size() == 1;
  if (is_watched && !is_product) return show(args.x, args.norm);
  inner_.norm_linear(args);
  if (is_product) before_norm_ = is_watched ? args.x : View<const float>();
}

void TapBackend::gated_linear(const GatedLinearArgs& args) {
  if (is_done_) return;
  if (args.up == watched_) return show(args.x, args.norm);
  inner_.gated_linear(args);
}

void TapBackend::linear_add(const LinearAddArgs& args) {
  if (is_done_) return;
  inner_.linear_add(args);
  if (args.weight != watched_) return;
  shares_.assign(static_cast<size_t>(args.x.rows()), 1.0f);
  divide_by_rms(args.residual, shares_);
  show_({.x = args.x, .shares = shares_});
  is_done_ = true;
}

void TapBackend::norm_add(const NormAddArgs& args) {
  if (is_done_) return;
  if (before_norm_.empty()) return inner_.norm_add(args);
  shares_.assign(static_cast<size_t>(args.x.rows()), 1.0f);
  divide_by_rms(args.x, shares_);
  inner_.norm_add(args);
  divide_by_rms(args.residual, shares_);
  show_({.x = before_norm_, .shares = shares_});
  is_done_ = true;
}

}  // namespace mica
